"""The account of a run: digests, percentiles, what counts as lost and as wrong."""

import json
import marshal
from pathlib import Path
from typing import Any

import pytest

from fastmem.demo.child import PipeObserver, apply_line
from fastmem.demo.ledger import Ledger, Track, digest_of

KEY = ("module", "a.py", 10, 20, 30)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), [1]), (1, 1.0), (1, True), ("a", b"a"), ({"a": 1, "b": 2}, {"a": 1}), (None, False)],
)
def test_digests_tell_apart_what_compares_equal_or_prints_alike(one: Any, other: object) -> None:
    assert digest_of(one) != digest_of(other)


def test_equal_values_have_equal_digests_whatever_they_share() -> None:
    shared = ["x" * 50]
    copied = marshal.loads(marshal.dumps([["x" * 50], ["x" * 50]]))
    assert digest_of([shared, shared]) == digest_of(copied)


def test_percentiles_need_an_access_beyond_them() -> None:
    track = Track()
    for latency in range(1, 1000):
        track.add(0, latency)
    assert track.percentile(0.5) == 500
    assert track.percentile(0.99) == 990
    assert track.percentile(0.999) is None
    track.add(0, 1000)
    assert track.percentile(0.999) == 999
    assert Track().percentile(0.5) is None


@pytest.fixture
def ledger() -> Any:
    return Ledger(started=1000)


def test_time_saved_is_the_cost_of_computing_less_that_of_the_hits(ledger: Ledger) -> None:
    ledger.computed(2000, 5, 700, 9, KEY, "d")
    ledger.hit(3000, "l1", 3, KEY, "d")
    ledger.hit(4000, "l3", 50, KEY, "d")
    assert (ledger.computing, ledger.storing, ledger.looking) == (700, 9, 58)
    assert ledger.avoided == 1400
    assert ledger.saved == 1400 - 53
    assert ledger.accesses == 3
    assert list(ledger.tracks["l3"].moments) == [3000]
    assert not ledger.lost
    assert not ledger.wrong


def test_a_wrong_value_is_entered(ledger: Ledger) -> None:
    ledger.computed(2000, 5, 700, 9, KEY, "d")
    ledger.hit(3000, "l2", 3, KEY, "other")
    assert ledger.wrong == [KEY]


def test_a_value_that_must_be_computed_again_was_lost(ledger: Ledger) -> None:
    ledger.computed(2000, 5, 700, 9, KEY, "d")
    ledger.computed(3000, 5, 700, 9, KEY, "d")
    assert ledger.lost == {KEY}


def test_a_value_of_an_earlier_run_must_stay_as_first_seen(ledger: Ledger) -> None:
    ledger.hit(3000, "l3", 3, KEY, "d")
    assert ledger.avoided == 0
    assert not ledger.wrong
    ledger.hit(3000, "l1", 3, KEY, "e")
    assert ledger.wrong == [KEY]


def test_steps_through_a_pipe_arrive_as_they_were(ledger: Ledger, tmp_path: Path) -> None:
    direct = Ledger(started=1000)
    tiers = {name: {"bytes": 1, "evictions": {"size": 2}} for name in ("l1", "l2", "l3")}
    with open(tmp_path / "pipe", "w+b", buffering=0) as pipe:
        for observer in (PipeObserver(pipe.fileno()), direct):
            observer.visited(7)
            observer.computed(2000, 5, 700, 9, KEY, "d")
            observer.hit(3000, "l2", 3, KEY, "d")
            observer.refused(("module", "bad.py", 1, 2, 3))
            observer.sampled(4000, {**tiers, "more": {}})
        pipe.seek(0)
        for line in pipe:
            apply_line(line, ledger)
    assert ledger == direct
    assert ledger.visits == 7


def test_a_line_that_is_no_step_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="unknown step '__init__'"):
        apply_line(json.dumps(["__init__", [5]]).encode(), ledger)
