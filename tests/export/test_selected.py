"""Whom an export is of: options that contradict each other are refused, whoever calls."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.export import FORMATS, format_writer
from annotator.export.selected import selected
from annotator.tracks.smoothed import SmoothedRun


@pytest.fixture
def run(make_run, picture, people):
    """One image of one person."""
    return make_run([picture("a.jpg", people([[0, 0, 9, 9]]))]).commit().open()


def test_without_options_it_is_the_run_itself(run) -> None:
    assert selected(run).run is run


def test_smoothing_is_of_a_run_too(run) -> None:
    assert isinstance(selected(run, smooth=True).run, SmoothedRun)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"drop": "phantoms", "smooth": True}, "leave out --smooth, or --drop"),
        ({"reviewed": "all", "smooth": True}, "leave out --smooth, or --reviewed"),
        ({"reviewed": "all"}, "no reviews yet"),
        ({"drop": "ghosts"}, "choose from phantoms, duplicates"),
    ],
)
def test_what_cannot_be_had_is_said(run, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        selected(run, **options)


def test_formats_are_known_by_name_and_one_takes_pictures() -> None:
    assert format_writer("coco") is FORMATS["coco"]
    with pytest.raises(UserError, match="known formats are coco, coco-results"):
        format_writer("voc")
    with pytest.raises(UserError, match="goes with --format hugging-face, not with coco"):
        format_writer("coco", with_images=True)
    assert format_writer("hugging-face", with_images=True).keywords == {"with_images": True}  # type: ignore[attr-defined]
