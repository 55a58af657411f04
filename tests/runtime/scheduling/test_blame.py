"""Who is suspected, who is condemned, and who never is."""

from __future__ import annotations

import json

import pytest

from annotator.runtime.scheduling.blame import Cause, Death, Ledger

CRASH = Death(Cause.CRASHED, "Aborted in decode (image.py:10)")


def test_the_first_death_makes_suspects_of_all_in_flight():
    ledger = Ledger()
    assert ledger.blame(CRASH, {4: [7, 8, 9]}, alone=False) == {4}
    assert ledger.care(4).suspects == {7, 8, 9}
    assert ledger.care(4).condemned == {}
    assert ledger.care(5).suspects == frozenset()


@pytest.mark.parametrize("cause", [Cause.CRASHED, Cause.HUNG, Cause.MEMORY])
def test_the_second_death_alone_condemns(cause):
    ledger = Ledger()
    ledger.blame(Death(cause, "why"), {4: [7, 8]}, alone=False)
    assert ledger.blame(Death(cause, "why"), {4: [8]}, alone=True) == {4}
    care = ledger.care(4)
    assert care.suspects == {7}
    assert (care.condemned[8].stage, care.condemned[8].kind) == ("worker", cause.value)
    assert "why" in care.condemned[8].message
    assert "2 workers" in care.condemned[8].message


def test_a_second_death_in_company_condemns_nobody():
    ledger = Ledger()
    for _ in range(5):
        ledger.blame(CRASH, {4: [7, 8]}, alone=False)
    assert ledger.care(4).condemned == {}


def test_a_first_death_alone_is_not_enough():
    ledger = Ledger()
    ledger.blame(CRASH, {4: [7]}, alone=True)
    assert ledger.care(4).condemned == {}


def test_kills_from_outside_condemn_only_one_that_is_hit_again_and_again_alone():
    ledger = Ledger(unexplained=3)
    kill = Death(Cause.KILLED)
    ledger.blame(kill, {4: [7, 8]}, alone=False)
    for _ in range(2):
        assert ledger.blame(kill, {4: [7]}, alone=True) == {4}
        assert ledger.care(4).condemned == {}
    ledger.blame(kill, {4: [7]}, alone=True)
    assert set(ledger.care(4).condemned) == {7}
    assert ledger.care(4).condemned[7].kind == "killed"


@pytest.mark.parametrize("cause", [Cause.NODE, Cause.LOST])
def test_lost_machines_and_connections_blame_nothing(cause):
    ledger = Ledger()
    assert ledger.blame(Death(cause), {4: [7]}, alone=True) == set()
    assert ledger.care(4).suspects == frozenset()


def test_a_known_suspect_in_company_teaches_nothing():
    ledger = Ledger()
    ledger.blame(CRASH, {4: [7, 8]}, alone=False)
    assert ledger.blame(CRASH, {4: [7, 8]}, alone=False) == set()


def test_cases_survive_the_driver():
    ledger = Ledger()
    ledger.blame(CRASH, {4: [7, 8]}, alone=False)
    ledger.blame(CRASH, {4: [8]}, alone=True)
    other = Ledger()
    other.load(4, json.loads(json.dumps(ledger.to_json(4))))
    assert other.care(4).suspects == ledger.care(4).suspects
    assert other.care(4).condemned[8].message == ledger.care(4).condemned[8].message
    other.blame(CRASH, {4: [7]}, alone=True)
    assert set(other.care(4).condemned) == {7, 8}


def test_a_committed_shard_is_forgotten():
    ledger = Ledger()
    ledger.blame(CRASH, {4: [7, 8]}, alone=False)
    ledger.close(4)
    assert ledger.to_json(4) == {}
