"""The course of a demonstration: a child that is killed, the reopening, and the warm rest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic_ns, perf_counter_ns
from typing import TYPE_CHECKING, Any

from fastmem.demo.analysis import module_files
from fastmem.demo.child import Orders, apply_line
from fastmem.demo.ledger import TIERS, Ledger, digest_of
from fastmem.demo.workload import Walker, recompute, visits
from fastmem.terminal import progress
from fastmem.workplace import ARCHIVE, CACHE, open_memory

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem

__all__ = ["FULL_S", "DemoError", "Outcome", "Settings", "run"]

FULL_S = 35.0  # from here on all three tiers have to answer
CHILD_SHARE = 0.5  # of the time; the kill comes with the first report after it
CLOSING_S = 1.5  # kept for closing and for the report
LEAST_REST_S = 2.0  # the warm part is at least this long, however slow the verification was
READ_BYTES = 1 << 16


class DemoError(Exception):
    """The demonstration could not be carried out; says nothing about what the memory holds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run, where, and for how long."""

    directory: Path
    seconds: float = FULL_S
    l1_size_mb: float = 4.0
    l2_size_mb: float = 16.0
    seed: int = 20
    root: Path = field(default_factory=lambda: Path(sysconfig.get_path("stdlib")))

    @property
    def l2_path(self) -> Path:
        return self.directory / CACHE

    @property
    def l3_path(self) -> Path:
        return self.directory / ARCHIVE

    def open_memory(self) -> TieredMemorySystem:
        return open_memory(self.l1_size_mb, self.l2_path, self.l3_path, l2_size_mb=self.l2_size_mb)


@dataclass(slots=True)
class Outcome:
    """Everything that the tables and the report show. Moments are nanoseconds since the start."""

    settings: Settings
    ledger: Ledger
    modules: int = 0
    killed: int = 0
    reopened: int = 0
    resumed: int = 0
    ended: int = 0
    opening: int = 0
    promised: int = 0
    recovered: int = 0
    beyond: int = 0  # values that were put, but the kill came before the report
    child_stats: dict[str, dict[str, Any]] = field(default_factory=dict)
    stats: dict[str, dict[str, Any]] = field(default_factory=dict)
    clock_ns: int = 0  # what two readings of the clock cost, included in every latency

    @property
    def intact(self) -> bool:
        """True when nothing acknowledged was lost and no wrong value was seen."""
        return not self.ledger.lost and not self.ledger.wrong

    @property
    def silent(self) -> tuple[str, ...]:
        """The tiers that never answered."""
        return tuple(tier for tier in TIERS if not len(self.ledger.tracks[tier]))

    @property
    def passed(self) -> bool:
        """True when it is intact and, in a full run, every tier has answered."""
        return self.intact and not (self.silent and self.settings.seconds >= FULL_S)

    def count(self, tier: str, name: str) -> int:
        """A counter of *tier* over both processes; a counter kept by cause is summed."""
        return _total(self.child_stats, tier, name) + _total(self.stats, tier, name)


def _total(stats: dict[str, dict[str, Any]], tier: str, name: str) -> int:
    value = stats.get(tier, {}).get(name, 0)
    return sum(value.values()) if isinstance(value, dict) else int(value)


def run(settings: Settings) -> Outcome:
    """Carry out the demonstration in ``settings.directory``.

    Raises :class:`DemoError` when the child dies by itself or gets nowhere.
    """
    modules = module_files(settings.root)
    if not modules:
        raise DemoError(f"{settings.root}: no Python modules to analyse here")
    with settings.open_memory() as memory:
        inherited = set(memory)
    outcome = Outcome(settings, Ledger(monotonic_ns()), len(modules), clock_ns=_clock_cost())
    _run_child(outcome)
    before = perf_counter_ns()
    with settings.open_memory() as memory:
        outcome.opening = perf_counter_ns() - before
        outcome.reopened = _now(outcome)
        _verify(outcome, memory, inherited)
        outcome.resumed = _now(outcome)
        _continue(outcome, memory, modules)
        outcome.stats = memory.stats()
    outcome.ended = _now(outcome)
    return outcome


def _now(outcome: Outcome) -> int:
    return monotonic_ns() - outcome.ledger.started


def _clock_cost() -> int:
    costs = []
    for _ in range(1000):
        before = perf_counter_ns()
        costs.append(perf_counter_ns() - before)
    return sorted(costs)[500]


def _run_child(outcome: Outcome) -> None:
    """Let a child work until its share of the time is over; then kill it, whatever it is doing."""
    ledger, settings = outcome.ledger, outcome.settings
    share_s = settings.seconds * CHILD_SHARE
    with _child(settings) as (child, pipe), progress("cold, in a child", share_s) as show:
        for line in _lines(pipe, lambda: _give_up(outcome)):
            apply_line(line, ledger)
            elapsed_s = _now(outcome) / 1e9
            if child.returncode is None and elapsed_s >= share_s and ledger.digests:
                child.send_signal(signal.SIGKILL)
                child.wait()  # lines still in the pipe were written before: the loop drains them
                outcome.killed = _now(outcome)
            show(min(elapsed_s, share_s), f"{len(ledger.digests):,} values put")
        if child.wait() != -signal.SIGKILL or not outcome.killed:
            raise DemoError(f"the child process ended by itself with status {child.returncode}")
    outcome.promised = len(ledger.digests)
    if ledger.samples:
        outcome.child_stats = ledger.samples[-1][1]


def _give_up(outcome: Outcome) -> None:
    if _now(outcome) > outcome.settings.seconds * 1e9:
        raise DemoError(f"the child process reported nothing for {outcome.settings.seconds:g} s")


@contextmanager
def _child(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A running child and the descriptor of its reports; it is dead when the block is left."""
    pipe, child_end = os.pipe()
    try:
        try:
            orders = Orders(
                pipe=child_end,
                l1_size_mb=settings.l1_size_mb,
                l2_size_mb=settings.l2_size_mb,
                l2_path=str(settings.l2_path),
                l3_path=str(settings.l3_path),
                root=str(settings.root),
                seed=settings.seed,
            )
            child = subprocess.Popen(
                [sys.executable, "-m", "fastmem.demo.child", orders.to_json()],
                stdin=subprocess.DEVNULL,
                pass_fds=[child_end],
            )
        finally:
            os.close(child_end)
        try:
            yield child, pipe
        finally:
            child.kill()
            child.wait()
    finally:
        os.close(pipe)


def _lines(pipe: int, waiting: Callable[[], None]) -> Iterator[bytes]:
    """Whole lines from *pipe* until its end; a line cut off by the kill is no report.

    Calls *waiting* whenever nothing has come for a second.
    """
    rest = b""
    while True:
        if not select.select([pipe], [], [], 1.0)[0]:
            waiting()
            continue
        chunk = os.read(pipe, READ_BYTES)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _verify(outcome: Outcome, memory: TieredMemorySystem, inherited: set[Any]) -> None:
    """Read back everything that the child had reported, without promoting it, and compare."""
    ledger = outcome.ledger
    with progress("verifying after kill -9", outcome.promised) as show:
        for number, key in enumerate(list(ledger.digests), 1):
            entry = memory.entry(key)
            if entry is None:
                ledger.lost.add(key)
            else:
                outcome.recovered += ledger.check(key, digest_of(entry.value))
            show(number, f"{len(ledger.lost):,} lost, {len(ledger.wrong):,} wrong")
    unreported: set[Any] = set(memory) - set(ledger.digests) - inherited
    for key in unreported:
        entry, anew = memory.entry(key), recompute(outcome.settings.root, key)
        if entry is not None and anew is not None:
            ledger.digests[key] = digest_of(anew)
            ledger.check(key, digest_of(entry.value))
            outcome.beyond += 1


def _continue(outcome: Outcome, memory: TieredMemorySystem, modules: list[str]) -> None:
    """Go on from the visit that the kill cut off, until the time is over."""
    ledger, settings = outcome.ledger, outcome.settings
    begin_s = _now(outcome) / 1e9
    end_s = max(settings.seconds - CLOSING_S, begin_s + min(LEAST_REST_S, settings.seconds / 4))
    walker = Walker(memory, settings.root, modules, ledger)
    walker.sample(now=True)
    remaining = islice(visits(len(modules), settings.seed), ledger.visits, None)
    with progress("warm, after reopening", end_s - begin_s) as show:
        for number, visit in enumerate(remaining, ledger.visits):
            ledger.visited(number)
            walker.follow(visit)
            elapsed_s = _now(outcome) / 1e9
            show(min(elapsed_s, end_s) - begin_s, f"{ledger.accesses:,} accesses")
            if elapsed_s >= end_s:
                break
    walker.sample(now=True)
