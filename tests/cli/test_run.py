"""`annotator run`: its options are settings of the same name."""

from __future__ import annotations

import inspect

from annotator.cli.run import run
from annotator.config import RunConfig


def test_every_option_is_a_setting_or_one_of_those_that_are_none() -> None:
    options = inspect.signature(run).parameters
    none = {"from_run", "config", "settings", "price_per_hour", "as_json"}
    assert options.keys() - RunConfig.model_fields.keys() == none
    given = {name for name, option in options.items() if option.default is not None}
    assert given == {"as_json"}, "a setting that is not given is left to the file and the defaults"
