"""What shards took, from the figures in their commit records, those of older versions too."""

from __future__ import annotations

from annotator.store.work import ShardStats, Work


def test_stages_add_up_to_all_that_a_shard_took() -> None:
    stats = {"seconds": 4.0, "wait": 1.0, "detect": 0.5, "pose": 2.0, "signals": 0.25, "write": 0.5}
    work = Work.of([ShardStats.of(stats), ShardStats.of(stats)])
    assert work.stages == {
        "wait": 2.0, "detect": 1.0, "pose": 4.0, "signals": 0.5, "write": 1.0, "other": 0.5
    }  # fmt: skip
    assert work.seconds == sum(work.stages.values()) == 9.0
    assert work.slowest == "pose" and work.cost(3600) == 9.0


def test_workers_are_told_apart_by_machine_and_process() -> None:
    places = [("a", 1), ("a", 1), ("a", 2), ("b", 1)]
    work = Work.of(ShardStats.of({"host": host, "pid": pid}) for host, pid in places)
    assert (work.workers, work.hosts) == (3, 2)


def test_what_a_record_does_not_say_is_not_made_up() -> None:
    """Older versions counted kept people alone; rewritten rows need no model."""
    old = ShardStats.of({"people": 4, "seconds": 1.5, "ahead": 2.0})
    assert (old.posed, old.alone_pose, old.flop, old.host) == (4, None, None, None)
    assert Work.of([old]) == Work(ShardStats().stages | {"other": 1.5}, 1.5, 0, 0)
    assert ShardStats.of({"people": 4, "posed": 9}).posed == 9
