"""How every number of the ratio table is taken.

- One round runs every contender of a row once; the starting contender rotates from round to round.
  A slow spell of the machine then hits all of them, and ratios are formed inside a round.
- A measured statement is pasted into a loop of its own code object: the adaptive interpreter
  specialises it for that contender alone, and no wrapper call is timed.
- The same loop with an empty body runs over the same sequence right before, and is subtracted. A
  slow spell in between can make that more than the whole: a round in which any contender comes out
  negative is repeated, and counted.
- Collection is off, and the measuring thread is pinned to one cpu. Threads that a store started
  before stay where they were.
- What is reported is the median over rounds, of the times and of the ratios.
"""

from __future__ import annotations

import contextlib
import gc
import os
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Job = Callable[[], float]
"""Runs one round of one contender and returns its measure in the row's unit."""

Loop = Callable[[Sequence[Any]], int]
"""Runs a statement for each item of a sequence and returns the nanoseconds."""


@dataclass(frozen=True)
class Absent:
    """A contender that cannot run here, and why. It is shown, never dropped."""

    reason: str


def compile_loop(
    statement: str, names: Mapping[str, Any], *, item: str = "k", around: str = ""
) -> Loop:
    """A timed ``for <item> in items: <statement>`` with ``names`` as fast locals.

    ``around`` is a ``with`` line that encloses the whole loop (a bulk transaction).
    """
    loop = f"for {item} in items:\n" + textwrap.indent(statement, " ")
    if around:
        loop = f"{around}\n" + textwrap.indent(loop, " ")
    arguments = ", ".join(["items", "clock=clock", *(f"{name}={name}" for name in names)])
    source = (
        f"def run({arguments}):\n"
        " start = clock()\n" + textwrap.indent(loop, " ") + "\n return clock() - start\n"
    )
    scope: dict[str, Any] = {**names, "clock": time.perf_counter_ns}
    exec(source, scope)
    run: Loop = scope["run"]
    return run


def net_ns(loop: Loop, empty: Loop, items: Sequence[Any]) -> float:
    """Nanoseconds per item, the cost of iterating over ``items`` taken off."""
    base = empty(items)
    return (loop(items) - base) / len(items)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No collection, and this thread on one cpu where the system allows it."""
    pinnable = hasattr(os, "sched_setaffinity")
    allowed = os.sched_getaffinity(0) if pinnable else set()
    if pinnable:
        os.sched_setaffinity(0, {max(allowed)})
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if pinnable:
            os.sched_setaffinity(0, allowed)


class TooBusyError(Exception):
    """Too few rounds could be measured."""


def interleave(jobs: Mapping[str, Job], rounds: int) -> tuple[dict[str, list[float]], int]:
    """Every job once a round, the first one rotating; the measures of each, in round order.

    Then the number of rounds discarded because a measure was negative. Those are made up for until
    there are three times as many as asked: TooBusyError.
    """
    names = list(jobs)
    measures: dict[str, list[float]] = {name: [] for name in names}
    discarded = 0
    for number in range(3 * rounds):
        turn = number % len(names) if names else 0
        taken = {name: jobs[name]() for name in names[turn:] + names[:turn]}
        if any(measure < 0 for measure in taken.values()):
            discarded += 1
            continue
        for name, measure in taken.items():
            measures[name].append(measure)
        if number + 1 - discarded == rounds:
            return measures, discarded
    raise TooBusyError(f"{discarded} of {3 * rounds} rounds came out negative")


def ratio(subject: Sequence[float], reference: Sequence[float]) -> float:
    """The median over rounds of subject / reference."""
    return statistics.median(ours / theirs for ours, theirs in zip(subject, reference, strict=True))


def percentile(samples: Sequence[float], fraction: float) -> float:
    """The smallest sample that at least ``fraction`` of all samples do not exceed."""
    ordered = sorted(samples)
    rank = -int(-fraction * len(ordered) // 1)  # ceiling
    return ordered[min(len(ordered), max(1, rank)) - 1]
