"""The rows of L1: in process, nanoseconds, against dict and the caches that Python has."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import (
    DICT,
    L1_OURS,
    L1_OURS_S3FIFO,
    L1_OURS_TTL,
    L1_PEERS,
    TTL_PEERS,
    Peer,
    ours,
    why_absent,
)
from benchmarks.rows import FASTEST, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

EVERYBODY: Final = (L1_OURS, DICT, *L1_PEERS)
WITH_S3FIFO: Final = (L1_OURS_S3FIFO, DICT, *L1_PEERS)
WITH_TTL: Final = (L1_OURS_TTL, DICT, *TTL_PEERS)
DICT_ONLY: Final = frozenset({DICT.name})  # no eviction, no budget: a yardstick, not a peer
FASTER_THAN_ALL: Final = Bar(1.0, FASTEST)
VALUE: Final = 7


def _loops(peer: Peer, c: Any, statement: str) -> tuple[timing.Loop, timing.Loop]:
    names = {**peer.names(c), "c": c, "v": VALUE}
    return timing.compile_loop(statement, names), timing.compile_loop("pass", names)


def _fill(peer: Peer, c: Any, keys: Sequence[str]) -> None:
    statement = peer.put.format(v="v") if peer.put is not None else peer.put_new
    assert statement
    _loops(peer, c, statement)[0](keys)


def _keys(scene: Scene) -> list[str]:
    return scene.once("keys", lambda: workloads.user_keys(scene.scale.entries))


def _filled(peer: Peer, scene: Scene) -> Any:
    """The peer holding every key of the scene; shared by the rows that only read."""

    def make() -> Any:
        c = peer.make(scene.scale.entries)
        _fill(peer, c, _keys(scene))
        return c

    return scene.once(("filled", peer), make)


def _access(scene: Scene, pattern: Callable[[int, int], list[int]]) -> list[str]:
    keys = _keys(scene)
    indices = scene.once(pattern, lambda: pattern(scene.scale.operations, len(keys)))
    return workloads.take(keys, indices)


def _absent_keys(scene: Scene, _: object = None) -> list[str]:
    keys = workloads.other_keys(scene.scale.operations)
    for key in keys:
        hash(key)  # cached in the string, as it is for the keys of the hit rows
    return keys


def _job(peer: Peer, c: Any, statement: str, keys: Sequence[str]) -> Job:
    loop, empty = _loops(peer, c, statement)

    def job() -> float:
        loop(keys)  # warm: the caches of the cpu and the specialised bytecode
        return timing.net_ns(loop, empty, keys)

    return job


def _reading(
    peers: Sequence[Peer],
    statement: Callable[[Peer], str | None],
    keys: Callable[[Scene], list[str]],
) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        chosen = keys(scene)
        jobs: dict[str, Job | Absent] = {}
        for peer in peers:
            source, missing = statement(peer), why_absent(peer)
            if source is None:
                continue
            if missing:
                jobs[peer.name] = Absent(missing)
            else:
                jobs[peer.name] = _job(peer, _filled(peer, scene), source, chosen)
        return jobs

    return build


def _hot(scene: Scene) -> list[str]:
    return _access(scene, workloads.hot)


def _uniform(scene: Scene) -> list[str]:
    return _access(scene, workloads.uniform)


def _build_items(scene: Scene) -> Field:
    """``c[k]`` of every peer; the bar is on dict.get, so that is measured too."""
    jobs = dict(_reading((L1_OURS, *L1_PEERS), lambda p: p.item, _hot)(scene))
    stored = _filled(DICT, scene)
    jobs[DICT.name] = _job(DICT, stored, DICT.get, _hot(scene))
    jobs["dict c[k]"] = _job(DICT, stored, "c[k]", _hot(scene))
    return jobs


def _build_overwrite(scene: Scene) -> Field:
    """Its own caches: the shared ones must keep the order that filling gave them."""
    jobs: dict[str, Job | Absent] = {}
    for peer in EVERYBODY:
        missing = why_absent(peer)
        if missing:
            jobs[peer.name] = Absent(missing)
        elif peer.put is not None:
            c = peer.make(scene.scale.entries)
            _fill(peer, c, _keys(scene))
            jobs[peer.name] = _job(peer, c, peer.put.format(v="v"), _uniform(scene))
    return jobs


def _evicting_cache(peer: Peer, scene: Scene) -> Any:
    """A cache that is exactly full, so that every new key evicts."""
    keys = _keys(scene)
    if peer is L1_OURS:
        budget = int(_filled(peer, scene).stats()["bytes"])
        c = ours("L1Cache")(budget)
    else:
        c = peer.make(len(keys))
    _fill(peer, c, keys)
    return c


def _build_evict(scene: Scene) -> Field:
    jobs: dict[str, Job | Absent] = {}
    operations = scene.scale.operations
    for peer in (L1_OURS, *L1_PEERS):
        missing = why_absent(peer)
        if missing:
            jobs[peer.name] = Absent(missing)
            continue
        statement = peer.put.format(v="v") if peer.put is not None else peer.put_new
        assert statement
        loop, empty = _loops(peer, _evicting_cache(peer, scene), statement)
        starts = itertools.count(0, operations)

        def job(
            loop: timing.Loop = loop, empty: timing.Loop = empty, starts: Any = starts
        ) -> float:
            return timing.net_ns(loop, empty, workloads.other_keys(operations, next(starts)))

        jobs[peer.name] = job
    return jobs


def _build_tail(scene: Scene) -> Field:
    """Single hits on the clock, with one evicting put before each, outside the timing."""
    samples = scene.scale.operations
    keys = _keys(scene)
    hot = keys[-1000:]
    jobs: dict[str, Job | Absent] = {}
    for peer in (L1_OURS, DICT, *L1_PEERS):
        if peer.put is None:
            continue
        missing = why_absent(peer)
        if missing:
            jobs[peer.name] = Absent(missing)
            continue
        c = _evicting_cache(peer, scene)
        jobs[peer.name] = _tail_job(c, hot, samples, itertools.count(0, samples))
    return jobs


def _tail_job(c: Any, hot: Sequence[str], samples: int, starts: Any) -> Job:
    get, clock = c.get, time.perf_counter_ns
    evicts = type(c) is not dict

    def job() -> float:
        new = workloads.other_keys(samples, next(starts))
        wanted = workloads.take(hot, workloads.uniform(samples, len(hot)))
        for key in hot:
            get(key)
        taken: list[int] = []
        note = taken.append
        for fresh, key in zip(new, wanted, strict=True):
            c[fresh] = VALUE
            if not evicts:
                del c[fresh]
            start = clock()
            get(key)
            note(clock() - start)
        timer: list[int] = []
        for _ in range(1000):
            start = clock()
            timer.append(clock() - start)
        # The clock's own cost is taken off both, or it would flatter the quotient.
        cost = statistics.median(timer) - 1
        return (timing.percentile(taken, 0.999) - cost) / (statistics.median(taken) - cost)

    return job


def _beside_dict(name: str, title: str, build: Callable[[Scene], Field], *bars: Bar) -> Row:
    """Nanoseconds beside those of a dict, and in any case fewer than those of every peer."""
    return Row(
        name, title, "ns", "l1", build, DICT.name, (*bars, FASTER_THAN_ALL), not_peers=DICT_ONLY
    )


ROWS: Final = (
    _beside_dict(
        "l1.get.hot",
        "get, hit, 1,000 hot keys",
        _reading(EVERYBODY, lambda p: p.get, _hot),
        Bar(1.15, DICT.name),
    ),
    Row(
        "l1.getitem.hot",
        "c[k], hit, 1,000 hot keys",
        "ns",
        "l1",
        _build_items,
        DICT.name,
        (Bar(1.05, DICT.name), FASTER_THAN_ALL),
        not_peers=frozenset({DICT.name, "dict c[k]"}),
    ),
    _beside_dict(
        "l1.get.uniform",
        "get, hit, uniform over all residents",
        _reading(EVERYBODY, lambda p: p.get, _uniform),
        Bar(1.35, DICT.name),
    ),
    _beside_dict(
        "l1.miss",
        "get, miss",
        # Asking lru_cache for a missing key would insert it.
        _reading(EVERYBODY, lambda p: p.get if p.put is not None else None, _absent_keys),
        Bar(0.7, DICT.name),
    ),
    _beside_dict(
        "l1.ttl.hot",
        "get, hit, every entry with a deadline, 1,000 hot keys",
        _reading(WITH_TTL, lambda p: p.get, _hot),
        Bar(1.25, DICT.name),
    ),
    _beside_dict(
        "l1.ttl.uniform",
        "get, hit, every entry with a deadline, uniform",
        _reading(WITH_TTL, lambda p: p.get, _uniform),
    ),
    _beside_dict(
        "l1.s3fifo.hot",
        'get, hit, policy="s3fifo", 1,000 hot keys',
        _reading(WITH_S3FIFO, lambda p: p.get, _hot),
        Bar(1.05, DICT.name),
    ),
    _beside_dict(
        "l1.s3fifo.uniform",
        'get, hit, policy="s3fifo", uniform over all residents',
        _reading(WITH_S3FIFO, lambda p: p.get, _uniform),
        Bar(1.35, DICT.name),
    ),
    _beside_dict(
        "l1.put.over",
        "put over an existing key, uniform",
        _build_overwrite,
    ),
    Row(
        "l1.put.evict",
        "put of a new key into a full cache, one eviction each",
        "ns",
        "l1",
        _build_evict,
        "cachebox LRU",
        (FASTER_THAN_ALL,),
    ),
    Row(
        "l1.tail",
        "p99.9 of a hit / its median, an eviction before each",
        "x",
        "l1",
        _build_tail,
        DICT.name,
        (Bar(20.0),),
        not_peers=DICT_ONLY,
    ),
)
