"""What a run's figures say: the share of the networks' own speed, the stage that cost most, the price."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from annotator.models.engines.speed_of_light import SpeedOfLight, _seconds_each, seconds_a_person
from annotator.models.second_opinion import CascadeRule, SecondOpinion
from annotator.models.topdown import TopDown
from annotator.runtime import efficiency
from annotator.runtime.efficiency import describe, efficiency_of, shard_figures
from annotator.runtime.line import StageClock
from annotator.skeletons import COCO_17

LIGHT = SpeedOfLight(0.01, 0.02, 2e9, 1e9)


def shard(posed: int, images: int, seconds: float, **spent: float) -> dict[str, float]:
    clock = StageClock(images=images, posed=posed, people=posed // 2, detected=images)
    counts = {"posed": clock.posed, "people": clock.people, "images": images}
    return counts | {"seconds": seconds} | shard_figures(LIGHT, clock) | spent


def test_the_share_of_the_networks_own_speed_and_what_held_it_back() -> None:
    stats = [
        shard(200, 100, 5.0, wait=0.2, detect=2.1, pose=2.5, network=2.2, crop=0.2, keypoints=0.1),
        shard(200, 100, 5.0, wait=1.0, detect=2.0, pose=2.0, network=2.0, write=0.5),
    ]
    found = efficiency_of(stats)
    assert found is not None
    assert found.share == pytest.approx(8.0 / 10.5) and found.work.seconds == 10.5
    assert found.held_back == "decode" and found.lost["decode"] == pytest.approx(1.2)
    assert found.lost["detect"] == pytest.approx(0.1) and found.lost["model"] == pytest.approx(0.2)
    assert found.lost["write"] == 0.5 and found.lost["other"] == pytest.approx(0.2)
    assert found.busy == pytest.approx((4.1 + 4.2) / 10.5)
    assert found.flop_per_second == pytest.approx((400 * 2e9 + 200 * 1e9) / 10.5)
    assert found.cost_per_1000_people(3.6) == pytest.approx(10.5 * 0.001 / 400 * 1000)
    assert found.cost_of(2000, 3.6) == pytest.approx(10.5 * 0.001 * 10)
    assert "held back most by decode (11%" in describe(found) and "0.76" in describe(found)
    assert found.to_dict()["people_per_second_networks_alone"] == pytest.approx(50)


def test_a_share_that_cannot_be_is_not_given_for_one() -> None:
    def said(alone: float) -> str:
        found = efficiency_of([{"people": 10, "images": 5, "seconds": 10.0, "alone_pose": alone}])
        assert found is not None
        return describe(found)

    assert "no true figure" in said(25.0)
    assert "no true figure" not in said(10.2)


def test_what_was_not_measured_is_not_made_up() -> None:
    assert efficiency_of([]) is None and efficiency_of([{"seconds": 0.0}]) is None
    found = efficiency_of([{"people": 0, "images": 3, "seconds": 1.0, "pose": 0.7}])
    assert found is not None and found.share is None and found.flop_per_second is None
    assert found.busy == 0.7 and found.cost_per_1000_people(1.0) is None
    assert shard_figures(SpeedOfLight(), StageClock(posed=3)) == {}
    older = efficiency_of([{"people": 4, "images": 3, "seconds": 1.0}])
    assert older is not None and older.people == 4


def test_two_models_that_see_everybody_cost_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficiency, "seconds_a_person", lambda model, *_: model.seconds)
    monkeypatch.setattr(efficiency, "flop_of", lambda source, passes: passes * len(source))
    first = SimpleNamespace(seconds=0.25, flip=True, skeleton=COCO_17, input_size=(1, 1))
    second = SimpleNamespace(seconds=0.5, flip=False, skeleton=COCO_17, input_size=(1, 1))
    job = SimpleNamespace(pose="ab", second="abc", detector=None, config=SimpleNamespace(batch_people=8))
    both = SecondOpinion(first, second, ("ab", "abc"))  # pyright: ignore[reportArgumentType]
    found = efficiency.measure(job, None, both)  # pyright: ignore[reportArgumentType]
    assert (found.seconds_a_person, found.flop_a_person) == (0.75, 7)
    cascade = SecondOpinion(first, second, ("ab", "abc"), CascadeRule(0, 0, 0))  # pyright: ignore[reportArgumentType]
    assert efficiency.measure(job, None, cascade) == SpeedOfLight()  # pyright: ignore[reportArgumentType]


def test_a_network_that_runs_out_of_memory_is_measured_in_smaller_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, now, waited = [], [0.0], []
    monkeypatch.setattr("annotator.models.engines.speed_of_light.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)

    class Engine:
        device, padded = torch.device("cuda:1"), False

        def __call__(self, crops: torch.Tensor, mirror: bool) -> None:
            sizes.append(len(crops))
            now[0] += 0.001
            if len(crops) > room:
                raise torch.OutOfMemoryError("out of memory")

    class Pose(TopDown):
        def __init__(self) -> None:
            self.engine, self.flip, self.input_size = Engine(), False, (8, 8)  # type: ignore[assignment]

    monkeypatch.setattr(efficiency, "flop_of", lambda *_: None)
    job = SimpleNamespace(pose="a", second=None, detector=None, config=SimpleNamespace(batch_people=32))
    room = 20
    found = efficiency.measure(job, None, Pose())  # pyright: ignore[reportArgumentType]
    assert found.seconds_a_person == pytest.approx(0.001 / 16) and max(sizes) == 32 and sizes[-1] == 16
    assert set(waited) == {torch.device("cuda:1")}
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        efficiency.measure(job, None, Pose())  # pyright: ignore[reportArgumentType]


def test_a_network_with_one_batch_size_is_measured_in_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("annotator.models.engines.speed_of_light.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)

    class Engine:
        device, padded = torch.device("cuda"), True

        def __call__(self, crops: torch.Tensor, mirror: bool) -> None:
            now[0] += 0.2

    pose = SimpleNamespace(engine=Engine(), flip=False, input_size=(8, 8))
    assert seconds_a_person(pose, 32) == pytest.approx(0.2 / 32)  # pyright: ignore[reportArgumentType]


def test_given_boxes_need_no_detector() -> None:
    light = SpeedOfLight(seconds_a_person=0.5)
    assert light.seconds(4, 0) == 2.0 and light.seconds(4, 1) is None and light.flop(1, 0) is None


@pytest.mark.parametrize(
    ("launch", "each", "least", "budget", "count"),
    [
        (0.0, 0.1, 1, 3.0, 8),
        # A pass of one on a GPU is nearly all launches; the passes of a run are of 32.
        (0.030, 0.0004, 1, 0.5, 32),
        # Small passes of a slow network are slower a crop than those of any run.
        (0.0, 0.7, 4, 0.5, 4),
    ],
)
def test_a_pass_is_as_large_as_the_budget_allows(
    monkeypatch: pytest.MonkeyPatch, launch: float, each: float, least: int, budget: float, count: int
) -> None:
    now, sizes = [0.0], []
    monkeypatch.setattr("annotator.models.engines.speed_of_light.time.perf_counter", lambda: now[0])

    def call(n: int) -> None:
        sizes.append(n)
        now[0] += launch + each * n

    assert _seconds_each(call, 32, budget, least) == pytest.approx(launch / count + each)
    assert max(sizes) == sizes[-1] == count and now[0] < max(2 * budget, 2 * least * each + 0.1)
    assert _seconds_each(call, 3, budget, least) == pytest.approx(launch / 3 + each)
