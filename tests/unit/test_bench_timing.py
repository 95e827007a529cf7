"""How the ratio table takes its numbers."""

from __future__ import annotations

import gc
import os

import pytest

from benchmarks import timing


def test_a_loop_runs_its_statement_for_each_item() -> None:
    seen: list[object] = []
    loop = timing.compile_loop("note((k, v))", {"note": seen.append, "v": 7})
    assert loop([1, 2]) >= 0
    assert seen == [(1, 7), (2, 7)]


def test_a_loop_can_unpack_and_can_be_enclosed() -> None:
    class Transaction:
        entered = left = 0

        def __enter__(self) -> None:
            self.entered += 1

        def __exit__(self, *_: object) -> None:
            self.left += 1

    kept: dict[str, int] = {}
    whole = Transaction()
    names = {"c": kept, "t": whole}
    timing.compile_loop("c[k] = v", names, item="k, v", around="with t:")([("a", 1), ("b", 2)])
    assert kept == {"a": 1, "b": 2}
    assert (whole.entered, whole.left) == (1, 1)


def test_two_loops_never_share_a_code_object() -> None:
    first, second = (timing.compile_loop("k", {}) for _ in range(2))
    assert first.__code__ is not second.__code__


def test_the_empty_loop_is_taken_off() -> None:
    assert timing.net_ns(lambda _: 1000, lambda _: 200, [0, 0, 0, 0]) == 200.0


def test_rounds_are_interleaved_and_the_first_one_rotates() -> None:
    order: list[str] = []

    def job(name: str) -> timing.Job:
        return lambda: (order.append(name), float(len(order)))[1]

    measures, discarded = timing.interleave({name: job(name) for name in "abc"}, 4)
    assert "".join(order) == "abcbcacababc"
    assert measures["a"] == [1.0, 6.0, 8.0, 10.0]
    assert discarded == 0
    assert timing.interleave({}, 3) == ({}, 0)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The ratio of the medians would be 2 / 2 = 1.
    assert timing.ratio([1.0, 2.0, 9.0], [2.0, 1.0, 3.0]) == 2.0
    with pytest.raises(ValueError, match="zip"):
        timing.ratio([1.0], [1.0, 2.0])


def test_percentiles_are_nearest_rank() -> None:
    samples = [float(n) for n in range(1000, 0, -1)]
    assert timing.percentile(samples, 0.999) == 999.0
    assert timing.percentile(samples, 0.5) == 500.0
    assert timing.percentile(samples, 1.0) == 1000.0
    assert timing.percentile([3.0], 0.001) == 3.0


def test_quiet_gives_everything_back_even_when_a_job_raises() -> None:
    pinnable = hasattr(os, "sched_getaffinity")
    before = os.sched_getaffinity(0) if pinnable else None

    def fail_inside() -> None:
        with timing.quiet():
            assert not gc.isenabled()
            if pinnable:
                assert len(os.sched_getaffinity(0)) == 1
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert gc.isenabled()
    if pinnable:
        assert os.sched_getaffinity(0) == before


def test_a_round_with_a_negative_time_is_repeated_and_counted() -> None:
    """The empty loop met a slow spell: such a round says nothing, of any contender."""
    ours = iter([-1.0, 5.0, 6.0, 7.0])
    theirs = iter([2.0, -0.5, 3.0, 4.0])
    measures, discarded = timing.interleave(
        {"ours": lambda: next(ours), "theirs": lambda: next(theirs)}, 2
    )
    assert measures == {"ours": [6.0, 7.0], "theirs": [3.0, 4.0]}
    assert discarded == 2


def test_times_that_stay_negative_are_an_error() -> None:
    with pytest.raises(timing.TooBusyError, match="6 of 6 rounds"):
        timing.interleave({"ours": lambda: -1.0}, 2)
