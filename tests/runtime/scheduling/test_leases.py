"""The scheduler, one rule at a time, in simulated time."""

from __future__ import annotations

import pytest

from annotator.errors import RunFailed
from annotator.runtime.scheduling.blame import Cause, Death, Ledger
from annotator.runtime.scheduling.leases import Scheduler
from annotator.runtime.scheduling.policy import End, Lease, Policy, Start

CRASH = Death(Cause.CRASHED, "Segmentation fault")
KILL = Death(Cause.KILLED)


class Clocked:
    """A scheduler with a clock that the test moves."""

    def __init__(self, shards, workers=2, ledger=None, **policy):
        self.scheduler = Scheduler(range(shards), Policy(**{"depth": 1} | policy), ledger)
        self.scheduler.set_capacity(workers)
        self.now = 1000.0

    def decide(self, after=0.0):
        self.now += after
        return self.scheduler.decide(self.now)

    def wait(self, seconds, step=1.0):
        """Commands given while time passes."""
        return [command for _ in range(round(seconds / step)) for command in self.decide(step)]

    def start(self):
        """Start everything that is wanted and return the first leases by worker."""
        commands = self.decide()
        for command in commands:
            if isinstance(command, Start):
                self.scheduler.ready(command.worker, self.now)
        return {lease.worker: lease for lease in leases(commands + self.decide())}

    def done(self, lease):
        return self.scheduler.done(lease.worker, lease.lease, self.now)

    def died(self, worker, death=KILL, in_flight=None):
        self.scheduler.died(worker, death, in_flight or {}, self.now)


def leases(commands):
    return [command for command in commands if isinstance(command, Lease)]


def test_all_shards_are_leased_once_and_finish():
    run, seen = Clocked(5), []
    queue = list(run.start().values())
    while queue:
        lease = queue.pop(0)
        seen.append(lease.shard)
        assert run.done(lease)
        queue += leases(run.decide(1))
    assert sorted(seen) == list(range(5))
    assert run.scheduler.finished


def test_a_lease_is_given_only_when_the_worker_is_ready():
    run = Clocked(3)
    assert run.decide() == [Start(0), Start(1)]
    assert run.wait(60) == []


def test_no_more_workers_than_shards():
    assert len(Clocked(2, workers=8).decide()) == 2


def test_a_dead_worker_is_replaced_and_its_shard_goes_first():
    run = Clocked(10)
    held = run.start()
    run.died(0)
    commands = run.decide()
    assert [command for command in commands if isinstance(command, Start)] == [Start(2)]
    run.scheduler.ready(2, run.now)
    assert [lease.shard for lease in leases(run.decide())] == [held[0].shard]


def test_only_the_shard_under_way_is_blamed():
    run = Clocked(20, workers=1, depth=2, fruitless=2)
    run.start()
    first, second = run.scheduler.holding(0).values()
    run.died(0, CRASH)
    assert run.scheduler._backlog._fruitless == {first: 1}
    run.start()
    assert set(run.scheduler.holding(1).values()) == {first, second}


def test_second_leases_only_while_there_is_plenty():
    run = Clocked(5, workers=2, depth=2)
    run.start()
    held = [run.scheduler.holding(worker) for worker in (0, 1)]
    # Five shards, two workers: the third goes out while three wait, and the last two wait for a free worker.
    assert sorted(len(leases) for leases in held) == [1, 2]


@pytest.mark.parametrize(("others", "held"), [("wait for a place", 2), ("build their models", 1)])
def test_workers_that_wait_for_a_node_keep_nobody_from_decoding_ahead(others, held):
    run = Clocked(8, workers=8, depth=2)
    run.decide()
    if others == "build their models":
        for worker in range(8):
            run.scheduler.placed(worker, run.now)
    run.scheduler.ready(0, run.now)
    run.decide()
    assert len(run.scheduler.holding(0)) == held


def test_news_of_an_unknown_lease_changes_nothing():
    run = Clocked(3)
    held = run.start()
    assert not run.scheduler.done(0, 999, run.now)
    assert not run.scheduler.done(77, held[0].lease, run.now)
    assert run.done(held[0])
    assert not run.done(held[0])


def test_a_late_commit_of_a_lost_worker_counts_once():
    run = Clocked(1, workers=1)
    held = run.start()
    run.died(0, Death(Cause.LOST))
    again = run.start()[1]
    assert not run.done(held[0])
    assert run.done(again)
    assert run.scheduler.finished


def test_a_worker_without_progress_is_ended_once():
    run = Clocked(2, workers=1, hang_seconds=100)
    run.start()
    run.scheduler.progressed(0, "a", run.now)
    assert run.wait(99) == []
    run.scheduler.progressed(0, "b", run.now)
    assert run.wait(99) == []
    run.scheduler.progressed(0, "b", run.now)
    ends = run.wait(10)
    assert [end.worker for end in ends if isinstance(end, End) and end.death] == [0]
    assert ends[0].death.cause is Cause.HUNG
    run.died(0, ends[0].death, {0: [5]})
    assert run.scheduler.ledger.care(0).suspects == {5}
    assert run.decide() == [Start(1)]


def test_an_idle_worker_is_no_hung_one():
    run = Clocked(2, workers=2, hang_seconds=50, straggler_seconds=10_000)
    held = run.start()
    run.done(held[0])
    for _ in range(500):
        run.scheduler.progressed(1, run.now, run.now)
        assert run.decide(1) == []


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_jump_of_the_clock_ends_nobody(jump):
    run = Clocked(2, workers=1, hang_seconds=100)
    run.start()
    run.wait(50)
    assert run.decide(jump) == []
    assert run.wait(30) == []
    assert [type(command) for command in run.wait(60)] == [End]


def test_a_worker_that_does_not_come_up_is_given_up():
    run = Clocked(4, workers=1, start_seconds=60)
    assert run.decide() == [Start(0)]
    run.scheduler.placed(0, run.now)
    run.wait(30)
    run.scheduler.placed(0, run.now)
    assert run.wait(40) == [End(0), Start(1)]


def test_a_worker_without_a_place_waits_for_a_node_to_join():
    """Of a cluster that has lost all its nodes, or has none yet, nobody can say that its workers fail."""
    run = Clocked(4, workers=3, start_seconds=60, failed_starts=3)
    assert run.decide() == [Start(0), Start(1), Start(2)]
    assert run.wait(10_000) == []
    run.scheduler.placed(1, run.now)
    assert run.wait(50) == []
    run.scheduler.ready(1, run.now)
    assert [lease.worker for lease in leases(run.wait(200))] == [1]


def test_failed_starts_in_a_row_fail_the_run_and_say_why():
    run = Clocked(4, workers=1, failed_starts=3)
    for worker in range(2):
        assert run.decide() == [Start(worker)]
        run.died(worker, Death(Cause.KILLED, "no space for weights"))
    run.decide()
    with pytest.raises(RunFailed, match="no space for weights"):
        run.died(2, Death(Cause.KILLED, "no space for weights"))


def test_failed_starts_beside_a_living_worker_only_pause_starting():
    run = Clocked(9, workers=2, failed_starts=2, backoff_seconds=20, hang_seconds=10_000)
    assert run.decide() == [Start(0), Start(1)]
    run.scheduler.ready(0, run.now)
    run.died(1)
    assert Start(2) in run.decide()
    run.died(2)
    assert not any(isinstance(command, Start) for command in run.wait(15))
    assert Start(3) in run.wait(10)
    run.died(3)
    assert not any(isinstance(command, Start) for command in run.wait(35))
    assert Start(4) in run.wait(10)


def test_a_node_that_takes_starting_workers_with_it_is_no_failed_start():
    run = Clocked(4, workers=1, failed_starts=2)
    for worker in range(5):
        assert run.decide() == [Start(worker)]
        run.died(worker, Death(Cause.NODE))


def test_nodes_join_and_leave():
    run = Clocked(20, workers=1)
    run.start()
    run.scheduler.set_capacity(3)
    assert run.decide() == [Start(1), Start(2)]
    run.scheduler.ready(1, run.now)
    run.decide()
    run.scheduler.set_capacity(1)
    # The one on its way is called off; the busy one finishes its shard first.
    assert run.decide() == [End(2)]
    ((lease, _),) = run.scheduler.holding(1).items()
    run.scheduler.done(1, lease, run.now)
    assert End(1) in run.decide()


def test_an_idle_worker_takes_over_a_straggler():
    run = Clocked(4, workers=2, straggler_seconds=10, straggler_factor=4)
    held = run.start()
    slow = held[1]
    for _ in range(3):
        run.now += 5
        assert run.done(held[0])
        given = leases(run.decide())
        held[0] = given[0] if given else None
    assert held[0] is None
    assert [lease.shard for lease in leases(run.wait(6))] == [slow.shard]
    (copy,) = run.scheduler.holding(0)
    assert run.scheduler.done(0, copy, run.now)
    assert run.scheduler.finished
    assert not run.done(slow)


def test_a_straggler_that_dies_after_its_copy_won_is_nobodys_loss():
    run = Clocked(2, workers=2, straggler_seconds=5)
    held = run.start()
    run.now += 4
    run.done(held[0])
    (copy,) = leases(run.wait(20))
    assert copy.shard == held[1].shard
    run.died(1, CRASH, {copy.shard: [1, 2]})
    assert run.done(copy)
    assert run.scheduler.finished


def test_a_shard_whose_copy_lives_is_not_queued_again():
    run = Clocked(2, workers=2, straggler_seconds=5)
    held = run.start()
    run.now += 4
    run.done(held[0])
    (copy,) = leases(run.wait(20))
    run.died(1)
    assert not leases(run.decide())
    assert run.done(copy)


def test_exceptions_replace_the_worker_and_set_the_shard_aside_in_the_end():
    run = Clocked(1, workers=1, failures=3)
    for _ in range(3):
        (lease,) = run.start().values()
        run.scheduler.failed(lease.worker, lease.lease, "OSError: stale file handle", run.now)
        ended = run.decide()
        assert ended[0] == End(lease.worker)
        for command in ended[1:]:
            run.scheduler.ready(command.worker, run.now)
    assert run.scheduler.finished
    assert "stale file handle" in run.scheduler.set_aside[0]


def test_deaths_that_teach_nothing_set_the_shard_aside_and_the_others_go_on():
    run = Clocked(3, workers=1, fruitless=4, failed_starts=100)
    done = []
    for _ in range(40):
        for lease in run.start().values():
            if lease.shard == 0:
                run.died(lease.worker, CRASH)
            else:
                done.append(lease.shard)
                run.done(lease)
                for more in leases(run.decide()):
                    done.append(more.shard)
                    run.done(more)
    assert run.scheduler.finished
    assert sorted(done) == [1, 2]
    assert "4 workers in a row" in run.scheduler.set_aside[0]


def test_a_node_that_dies_blames_nothing():
    run = Clocked(3, workers=1, fruitless=1)
    run.start()
    run.died(0, Death(Cause.NODE), {0: [1, 2]})
    assert not run.scheduler.set_aside
    assert not run.scheduler.ledger.suspects(0)


def test_a_shard_with_suspects_has_a_worker_to_itself():
    run = Clocked(30, workers=1, depth=2)
    run.start()
    run.died(0, CRASH, {0: [3, 4], 1: [33]})
    held = run.start()
    assert list(run.scheduler.holding(1).values()) == [1]
    assert held[1].care.suspects == {33}
    run.done(held[1])
    (lease,) = leases(run.decide())
    assert (lease.shard, lease.care.suspects) == (0, {3, 4})
    assert run.decide() == []


def test_a_suspect_shard_known_from_before_is_not_mixed_in():
    ledger = Ledger()
    ledger.blame(CRASH, {1: [10, 11]}, alone=False)
    again = Ledger()
    again.load(1, ledger.to_json(1))
    run = Clocked(4, workers=1, depth=2, ledger=again)
    (lease,) = run.start().values()
    assert (lease.shard, lease.care.suspects) == (1, {10, 11})


def test_a_shard_listed_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        Scheduler([1, 2, 1])
