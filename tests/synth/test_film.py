"""Films that cannot be made."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.synth.film import write_films


def test_a_film_without_a_frame_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(UserError, match="no frame at 1 frames a second: 1 s is the least"):
        write_films(tmp_path / "out", 1, 0, (96, 64), seconds=0.4, fps=1)
    assert not (tmp_path / "out").exists()
