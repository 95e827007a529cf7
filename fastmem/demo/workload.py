"""Who asks for what, in which order: a skewed, drifting walk over modules and their functions."""

from __future__ import annotations

import sys
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from time import monotonic_ns, perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from fastmem.demo.analysis import AnalysisError, analyse_function, analyse_module
from fastmem.demo.ledger import TIERS, Key, Observer, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmem.memory import TieredMemorySystem

__all__ = ["Visit", "Walker", "recompute", "visits"]

SKEW = 1.0  # the exponent of the popularity of modules; web and key-value traces show 0.7 to 1.1
RETURN_SHARE = 0.7  # of the visits go back to a module visited a moment ago
RECENT_VISITS = 40
DRIFT_VISITS = 25  # after so many visits one module becomes popular and another one falls back
FUNCTIONS_A_VISIT = 6
SAMPLE_NS = 100_000_000

MISSING: Any = object()


class Visit(NamedTuple):
    """One module, and which of its functions: shares of the way through its list of scopes."""

    module: int
    functions: tuple[float, ...]


def visits(modules: int, seed: int) -> Iterator[Visit]:
    """The endless sequence of visits. The same arguments give the same sequence."""
    random = Random(seed)
    order = list(range(modules))
    random.shuffle(order)
    popularity = list(accumulate(1 / (rank + 1) ** SKEW for rank in range(modules)))
    recent: deque[int] = deque(maxlen=RECENT_VISITS)
    count = 0
    while True:
        count += 1
        if count % DRIFT_VISITS == 0:
            rising, falling = random.randrange(modules), random.randrange(min(modules, 50))
            order[rising], order[falling] = order[falling], order[rising]
        if recent and random.random() < RETURN_SHARE:
            module = random.choice(recent)
        else:
            rank = min(bisect(popularity, random.random() * popularity[-1]), modules - 1)
            module = order[rank]
            recent.append(module)
        functions = random.randrange(FUNCTIONS_A_VISIT)
        yield Visit(module, tuple(random.random() ** 3 for _ in range(functions)))


def recompute(root: Path, key: Key) -> dict[str, Any] | None:
    """The value of *key* computed anew, or ``None`` when the file has changed since."""
    kind, name, size, changed, version, *place = key
    path = root / str(name)
    facts = path.stat()
    if (size, changed, version) != (facts.st_size, facts.st_mtime_ns, sys.hexversion):
        return None
    module = analyse_module(path)
    if kind == "module":
        return module
    for scope in module["scopes"]:
        if [scope["name"], scope["span"][0]] == place:
            return analyse_function(path, scope)
    return None


class Walker:
    """Follows visits through *memory* and tells *observer* what each access met.

    A key carries the interpreter's version and the file's size and time of change: an edited file
    is another key, as a cache of derived results should have it.
    """

    def __init__(
        self, memory: TieredMemorySystem, root: Path, files: list[str], observer: Observer
    ) -> None:
        self.memory = memory
        self.root = root
        self.files = files
        self.observer = observer
        self._hits = self._read_hits()
        self._next_sample = 0

    def follow(self, visit: Visit) -> None:
        """Read the summary of one module and the detail of some of its functions."""
        name = self.files[visit.module]
        path = self.root / name
        facts = path.stat()
        stem: Key = (name, facts.st_size, facts.st_mtime_ns, sys.hexversion)
        module = self.access(("module", *stem), lambda: analyse_module(path))
        if module is None or not module["scopes"]:
            return
        for share in visit.functions:
            scope = module["scopes"][int(share * len(module["scopes"]))]
            key: Key = ("function", *stem, scope["name"], scope["span"][0])
            self.access(key, lambda scope=scope: analyse_function(path, scope))  # type: ignore[misc]

    def access(self, key: Key, compute: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """Get the value of *key*, or compute and put it. ``None`` when its file cannot be parsed.

        Only the memory's own calls lie between two readings of the clock.
        """
        before = perf_counter_ns()
        value: dict[str, Any] = self.memory.get(key, MISSING)
        latency = perf_counter_ns() - before
        if value is MISSING:
            return self._compute(key, compute, latency)
        tier = self._tier_that_hit()
        self.observer.hit(monotonic_ns(), tier, latency, key, digest_of(value))
        self.sample()
        return value

    def _compute(
        self, key: Key, compute: Callable[[], dict[str, Any]], lookup: int
    ) -> dict[str, Any] | None:
        start = perf_counter_ns()
        try:
            value = compute()
        except (AnalysisError, OSError):
            self.observer.refused(key)
            return None
        done = perf_counter_ns()
        self.memory.put(key, value)
        stored = perf_counter_ns()
        self._hits = self._read_hits()
        self.observer.computed(
            monotonic_ns(), lookup, done - start, stored - done, key, digest_of(value)
        )
        self.sample()
        return value

    def sample(self, *, now: bool = False) -> None:
        """Tell the observer the counters of the tiers, ten times a second or *now*."""
        moment = monotonic_ns()
        if now or moment >= self._next_sample:
            self._next_sample = moment + SAMPLE_NS
            self.observer.sampled(moment, self.memory.stats())

    def _read_hits(self) -> list[int]:
        stats = self.memory.stats()
        return [stats[tier]["hits"] for tier in TIERS]

    def _tier_that_hit(self) -> str:
        """Which tier answered the lookup just made: the one that counted a hit more."""
        before, self._hits = self._hits, self._read_hits()
        for tier, old, new in zip(TIERS, before, self._hits, strict=True):
            if new > old:
                return tier
        raise RuntimeError("a lookup found a value, but no tier counted a hit")
