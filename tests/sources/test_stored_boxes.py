"""A plan with the boxes that a run found: each beside its own picture, whatever was forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from annotator.privacy.forget import forget
from annotator.sources.stored_boxes import plan_with_boxes


def everybody(person_index, bbox_scores, scores):
    return np.ones(len(person_index), bool)


@pytest.mark.parametrize("found", [(0, 0, 1, 0, 1), (0, 0, 0, 2, 3), (1, 2, 1, 3, 0)])
def test_boxes_stay_beside_their_pictures_when_others_were_forgotten(
    make_run, picture, people, found
) -> None:
    """Numbers 0, 2 and 3 of a shard of four are left, and a shard of one."""
    boxes = [[[10 * n, place, 8, 40] for n in range(count)] for place, count in enumerate(found)]
    made = make_run([picture(f"{place}.jpg", people(some)) for place, some in enumerate(boxes)], 4).commit()
    forget(str(made.path), ["1.jpg"])
    plan = plan_with_boxes(made.open(), everybody)
    items = [item for shard in plan.shards for item in plan.items(shard)]
    assert [item.index for item in items] == [0, 2, 3, 4]
    assert [[list(box.bbox) for box in item.boxes or ()] for item in items] == [
        boxes[place] for place in (0, 2, 3, 4)
    ]
    # However its rows are asked for.
    assert plan.table(1, 3).equals(plan.table(0, 4).slice(1, 2))
