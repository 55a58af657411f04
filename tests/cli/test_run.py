"""`annotator run`: its options are settings of the same name."""

from __future__ import annotations

import inspect

import typer

from annotator.cli.run import run
from annotator.config import RunConfig


def test_every_option_is_a_setting_or_one_of_those_that_are_none() -> None:
    options = inspect.signature(run).parameters
    none = {"from_run", "config", "settings", "price_per_hour", "as_json"}
    assert options.keys() - RunConfig.model_fields.keys() == none
    given = {name for name, option in options.items() if option.default is not None}
    assert given == {"as_json"}, "a setting that is not given is left to the file and the defaults"


def test_help_tells_the_defaults_that_the_settings_have() -> None:
    app = typer.Typer(add_completion=False)
    app.command("run")(run)
    for option in typer.main.get_command(app).params:
        told = option.show_default
        # Words in brackets within a help text are taken for its markup, and are not shown.
        assert "[" not in (option.help or ""), option.name
        if isinstance(told, str) and option.name not in ("workers", "flip", "visibility"):
            default = RunConfig.model_fields[option.name].default
            assert told == {True: "track"}.get(default, str(default)), option.name
