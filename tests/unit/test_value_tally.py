"""The count of value files and the bytes they take: one step each, whatever fails."""

from __future__ import annotations

import random
from functools import partial

import pytest

from fastmem._core.tally import Tally
from tests.crash.allocations import failing

STEPS = ("begin", "measure", "publish", "abandon", "drop", "add", "resize")


def check(tally: Tally) -> None:
    assert tally.total_bytes == sum(tally.counted().values())
    assert not set(tally.counted()) & set(tally.pending())


def test_a_file_counts_from_its_publication_on() -> None:
    tally = Tally()
    tally.begin(7, b"k")
    assert tally.measure(7, 4096)
    assert (tally.pending(), tally.counted(), tally.total_bytes) == ({7: b"k"}, {}, 0)
    assert tally.bytes_of(7) == 0
    for _ in range(2):
        tally.publish(7)
        assert (tally.pending(), tally.counted(), tally.total_bytes) == ({}, {7: 4096}, 4096)
    assert tally.bytes_of(7) == 4096
    assert not tally.measure(7, 4096)
    assert tally.measure(7, 8192)
    assert tally.total_bytes == 8192
    assert tally.measure(7, 0)
    assert (tally.counted(), tally.total_bytes) == ({}, 0)


def test_what_was_removed_before_its_publication_does_not_count() -> None:
    tally = Tally()
    tally.begin(7, b"k")
    tally.measure(7, 4096)
    tally.drop(7)
    tally.publish(7)
    tally.drop(7)
    assert (tally.pending(), tally.counted(), tally.total_bytes) == ({}, {}, 0)


def test_only_pending_files_are_abandoned() -> None:
    tally = Tally()
    tally.begin(7, b"k")
    assert tally.is_pending(7)
    assert not tally.is_abandoned(7)
    tally.abandon(7)
    assert tally.is_abandoned(7)
    tally.publish(7)
    tally.abandon(8)
    assert not tally.is_abandoned(7)
    assert not tally.is_pending(7)
    assert not tally.is_abandoned(8)


def step_of(tally: Tally, name: str, number: int, length: int) -> None:
    if name == "begin":
        tally.begin(number, b"k")
    elif name == "add":
        tally.add(number, length)
    elif name in ("measure", "resize"):
        tally.measure(number, length if name == "measure" else 0)
    else:
        getattr(tally, name)(number)


def test_count_and_set_agree_whatever_fails() -> None:
    draw = random.Random(5)
    tally = Tally()
    failed = 0
    for turn in range(20_000):
        number, length = draw.randrange(1 << 40, (1 << 40) + 300), draw.randrange(1 << 20)
        step = partial(step_of, tally, draw.choice(STEPS), number, length)
        failed += failing(draw.randrange(4), step).error is not None
        if turn % 50 == 0:
            check(tally)
    check(tally)
    assert failed > 100


@pytest.mark.parametrize("name", ["publish", "abandon", "drop"])
def test_what_follows_a_commit_needs_no_memory(name: str) -> None:
    tally = Tally()
    step = getattr(tally, name)
    for number in range(1000, 1020):
        tally.begin(number, b"k")
        tally.measure(number, 1 << 20)
        outcome = failing(0, partial(step, number))
        assert outcome.error is None
        assert not outcome.reached
    check(tally)
