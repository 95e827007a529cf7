"""Open stores with records in them, and the jobs that read and write them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks import child, timing, workloads
from benchmarks.peers import (
    Peer,
    why_absent,
)
from benchmarks.rows import Scene
from benchmarks.timing import Absent, Job


@dataclasses.dataclass
class Loaded:
    """An open store with its records, and the loops of one peer."""

    peer: Peer
    store: Any
    extra: dict[str, Any]

    def loop(self, statement: str, item: str = "k") -> tuple[timing.Loop, timing.Loop]:
        names = {**self.peer.names(self.store), "c": self.store, **self.extra}
        run = timing.compile_loop(statement, names, item=item)
        return run, timing.compile_loop("pass", names, item=item)

    def operations(self, count: int) -> int:
        return max(1, count // 10) if self.peer.slow else count

    def check(self, keys: Sequence[Any], values: Sequence[Any], expression: str) -> None:
        """Every peer must hand back what was stored, or its time means nothing."""
        got: list[Any] = []
        self.extra["got"] = got.append
        self.loop(self.peer.read(f"got({expression})"))[0](keys)
        del self.extra["got"]
        for key, found, value in zip(keys, got, values, strict=True):
            if type(found) is memoryview:
                found = bytes(found)
            if type(value).__name__ == "ndarray":
                found, value = found.tobytes(), value.tobytes()
            if found != value:
                raise AssertionError(f"{self.peer.name}: wrong value for {key!r}")


def load(
    scene: Scene,
    peer: Peer,
    values: Sequence[Any],
    count: int,
    *,
    dumps: Callable[[Any], bytes] | None = None,
) -> Loaded:
    """Open the peer in a fresh directory and put ``count`` records, the values in turn."""
    store = peer.make(scene.folder())
    scene.at_end(functools.partial(peer.close, store))
    if dumps is not None:
        values = [dumps(value) for value in values]
    turn = itertools.cycle(values)
    pairs = [(peer.key(key), next(turn)) for key in workloads.session_keys(count)]
    child.fill_store(peer, store, pairs)
    peer.loaded(store)
    return Loaded(peer, store, {})


def contenders(
    peers: Sequence[Peer], job: Callable[[Peer], Job | Absent | None]
) -> dict[str, Job | Absent]:
    """The job of each peer that is here, the reason for each that is not."""
    made: dict[str, Job | Absent] = {}
    for peer in peers:
        missing = why_absent(peer)
        made_job = Absent(missing) if missing else job(peer)
        if made_job is not None:
            made[peer.name] = made_job
    return made


def read_job(loaded: Loaded, statement: str, entries: int, reads: int) -> Job:
    """Uniform reads, warmed by one untimed pass a round."""
    stored = [loaded.peer.key(key) for key in workloads.session_keys(entries)]
    indices = workloads.uniform(loaded.operations(reads), entries)
    keys = workloads.take(stored, indices)
    loop, empty = loaded.loop(loaded.peer.read(statement))

    def job() -> float:
        loop(keys)
        return timing.net_ns(loop, empty, keys) / 1000

    return job


def new_pairs(peer: Peer, values: Sequence[Any], count: int) -> Iterator[list[tuple[Any, Any]]]:
    """Batches of ``count`` pairs whose keys were never used."""
    for start in itertools.count(10_000_000, count):
        turn = itertools.cycle(values)
        yield [(peer.key(key), next(turn)) for key in workloads.session_keys(count, start)]
