"""What was seen during the run: every access, every acknowledged put, every sample of the tiers."""

from __future__ import annotations

import hashlib
import marshal
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

__all__ = ["COMPUTED", "SOURCES", "TIERS", "Key", "Ledger", "Observer", "Track", "digest_of"]

Key: TypeAlias = tuple[str | int, ...]

TIERS = ("l1", "l2", "l3")
COMPUTED = "computed"
SOURCES = (*TIERS, COMPUTED)


def digest_of(value: Any) -> str:
    """A digest of a value of plain types that tells ``(1,)`` from ``[1]`` and ``1`` from ``1.0``.

    Format 2 of :mod:`marshal` writes neither references nor interning, so that equal values give
    equal bytes in every process.
    """
    packed = marshal.dumps(value, 2)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


class Observer(Protocol):
    """Is told what happens. The ledger is one; in the child, a pipe to the ledger is another."""

    def visited(self, visit: int) -> None:
        """A visit begins; everything of the visits before it is done."""

    def hit(self, moment: int, tier: str, latency: int, key: Key, digest: str) -> None:
        """A lookup was answered by *tier*."""

    def computed(
        self, moment: int, lookup: int, cost: int, put: int, key: Key, digest: str
    ) -> None:
        """A lookup missed, the value was computed, and its put has returned."""

    def refused(self, key: Key) -> None:
        """The file behind *key* does not parse; there is nothing to cache."""

    def sampled(self, moment: int, tiers: Mapping[str, Mapping[str, Any]]) -> None:
        """The counters of the tiers at *moment*."""


@dataclass(slots=True)
class Track:
    """Moments and latencies of the accesses that one source answered, both in nanoseconds."""

    moments: array[int] = field(default_factory=lambda: array("Q"))
    latencies: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, moment: int, latency: int) -> None:
        self.moments.append(moment)
        self.latencies.append(latency)

    def __len__(self) -> int:
        return len(self.moments)

    def percentile(self, share: float) -> int | None:
        """The nearest-rank percentile, or ``None`` with too few accesses to tell it.

        A percentile is told when an access lies beyond it: 100 are needed for p99, 1,000 for p99.9.
        """
        rank = math.ceil(round(share * len(self.latencies), 6))
        return sorted(self.latencies)[rank - 1] if rank < len(self.latencies) else None


@dataclass(slots=True)
class Ledger:
    """The account of a run. Moments are nanoseconds since *started*, one clock for all processes.

    ``digests`` holds what an intact value of each key must look like: the digest told with its put,
    or, for a value that an earlier run left behind, the one seen first. A key is ``lost`` when it
    has a digest and a read misses it: the last tier has no budget, so nothing may ever leave.
    """

    started: int
    tracks: dict[str, Track] = field(default_factory=lambda: {name: Track() for name in SOURCES})
    digests: dict[Key, str] = field(default_factory=dict)
    costs: dict[Key, int] = field(default_factory=dict)
    samples: list[tuple[int, dict[str, dict[str, Any]]]] = field(default_factory=list)
    wrong: list[Key] = field(default_factory=list)
    lost: set[Key] = field(default_factory=set)
    refusals: set[Key] = field(default_factory=set)
    visits: int = 0
    avoided: int = 0
    computing: int = 0
    looking: int = 0
    storing: int = 0

    @property
    def accesses(self) -> int:
        return sum(map(len, self.tracks.values()))

    @property
    def saved(self) -> int:
        """Nanoseconds of computing that hits avoided, less the nanoseconds those hits took."""
        return self.avoided - sum(sum(self.tracks[tier].latencies) for tier in TIERS)

    def visited(self, visit: int) -> None:
        self.visits = visit

    def hit(self, moment: int, tier: str, latency: int, key: Key, digest: str) -> None:
        self.tracks[tier].add(moment - self.started, latency)
        self.looking += latency
        self.avoided += self.costs.get(key, 0)
        self.check(key, digest)

    def computed(
        self, moment: int, lookup: int, cost: int, put: int, key: Key, digest: str
    ) -> None:
        self.tracks[COMPUTED].add(moment - self.started, cost)
        self.looking += lookup
        self.computing += cost
        self.storing += put
        self.costs[key] = cost
        if key in self.digests:
            self.lost.add(key)
        self.check(key, digest)

    def refused(self, key: Key) -> None:
        self.refusals.add(key)

    def sampled(self, moment: int, tiers: Mapping[str, Mapping[str, Any]]) -> None:
        kept = {name: dict(tiers[name]) for name in TIERS}
        self.samples.append((moment - self.started, kept))

    def check(self, key: Key, digest: str) -> bool:
        """Compare a value with what its key must hold; a wrong one is entered as such."""
        right = self.digests.setdefault(key, digest) == digest
        if not right:
            self.wrong.append(key)
        return right
