"""The rows of TieredMemorySystem: what joining the tiers costs over the tiers themselves."""

from __future__ import annotations

import functools
import itertools
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import DICT, LMDB, STORE_OURS, TIERED, Peer, tiered_peer, why_absent
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.rows_l2 import FULL_BUDGET
from benchmarks.stores import Loaded, contenders, load, new_pairs
from benchmarks.timing import Absent, Job

SERIALISED: Final = "serialise + store put"
BARE: Final = "SegmentStore.get"
ALONE: Final = "alone, not coherent"


def _open(scene: Scene, peer: Peer) -> Loaded:
    store = peer.make(scene.folder())
    scene.at_end(functools.partial(peer.close, store))
    return Loaded(peer, store, {})


def _put_job(loaded: Loaded, value: str, count: int) -> Job:
    put, empty = loaded.loop(loaded.peer.store(value), "k, v")
    batches = new_pairs(loaded.peer, workloads.small_dicts(64), count)
    put(next(batches))
    return lambda: timing.net_ns(put, empty, next(batches)) / 1000


def _build_put(scene: Scene) -> Field:
    count = scene.scale.stores["1KB"][2]
    jobs = contenders((TIERED,), lambda peer: _put_job(_open(scene, peer), "v", count))
    write_back = tiered_peer('durability="cache"', durability="cache")
    jobs |= contenders((write_back,), lambda peer: _put_job(_open(scene, peer), "v", count))
    missing = why_absent(STORE_OURS)
    if missing:
        jobs[SERIALISED] = Absent(missing)
        return jobs
    import msgspec

    bare = _open(scene, STORE_OURS)
    bare.extra["encode"] = msgspec.msgpack.Encoder().encode
    jobs[SERIALISED] = _put_job(bare, "encode(v)", count)
    return jobs


def _build_coherent(scene: Scene) -> Field:
    """Beside a memory that is alone: what the comparison costs."""
    jobs = contenders((TIERED,), lambda peer: _coherent_job(scene, peer))
    alone = contenders((TIERED,), lambda peer: _hot_job(scene, peer, _open(scene, peer).store))
    return jobs | {ALONE: alone[OURS]}


def _coherent_job(scene: Scene, peer: Peer) -> Job:
    memory = _open(scene, tiered_peer(OURS, coherent=True)).store
    memory._engine.files.super.set("joined", 1)  # as if others had the directories open
    return _hot_job(scene, peer, memory)


def _build_hot(scene: Scene) -> Field:
    jobs = contenders((TIERED,), lambda peer: _hot_job(scene, peer, _open(scene, peer).store))
    jobs[DICT.name] = _hot_job(scene, DICT, {})
    return jobs


def _hot_job(scene: Scene, peer: Peer, cache: Any) -> Job:
    keys = workloads.user_keys(1000)
    chosen = workloads.take(keys, workloads.hot(scene.scale.operations, len(keys)))
    for key in keys:
        cache[key] = 7
    names = {**peer.names(cache), "c": cache}
    loop, empty = timing.compile_loop("get(k)", names), timing.compile_loop("pass", names)

    def hot() -> float:
        loop(chosen)
        return timing.net_ns(loop, empty, chosen)

    return hot


def _build_from_l2(scene: Scene) -> Field:
    """A scan over more than L1 holds: an LRU then misses every time."""
    count = scene.scale.stores["1KB"][0]
    values = workloads.blobs(64, workloads.SIZES["1KB"])
    keys = workloads.session_keys(count)

    def job(peer: Peer) -> Job:
        loaded = load(scene, peer, values, count)
        loop, empty = loaded.loop(peer.read(peer.get))
        loop(keys)
        if peer is small:
            before = loaded.store.stats()["l2"]["hits"]
            loop(keys)
            if loaded.store.stats()["l2"]["hits"] - before < 0.99 * count:
                raise AssertionError("every read was meant to be served by L2")
        return lambda: timing.net_ns(loop, empty, keys) / 1000

    small = tiered_peer(OURS, l1_size_mb=1, l2_size_mb=512)
    jobs = contenders((small,), job)
    missing = why_absent(STORE_OURS)
    jobs[BARE] = Absent(missing) if missing else job(STORE_OURS)
    return jobs


def _build_full(scene: Scene) -> Field:
    """L1 and L2 full, so that reclaim moves the oldest records into the archive."""
    writes = scene.scale.stores["1KB"][2]
    values = [record for record in workloads.session_bytes(500) if 700 < len(record) < 1400]
    tiered = tiered_peer(OURS, l1_size_mb=1, l2_size_mb=FULL_BUDGET / (1 << 20))

    def job(peer: Peer) -> Job:
        loaded = _open(scene, peer)
        put, empty = loaded.loop(peer.store(), "k, v")
        batches = new_pairs(peer, values, writes)
        fill = 2 * FULL_BUDGET // 1000 if peer is tiered else writes
        for pairs in itertools.islice(batches, 1 + fill // writes):
            put(pairs)
        return lambda: timing.net_ns(put, empty, next(batches)) / 1000

    return contenders((tiered, LMDB), job)


ROWS: Final = (
    Row(
        "tiered.get.hot",
        "get, L1 hit, 1,000 hot keys",
        "ns",
        "tiered.hot",
        _build_hot,
        DICT.name,
        (Bar(1.15, DICT.name),),
    ),
    Row(
        "tiered.get.coherent",
        "the same in a shared directory, coherent",
        "ns",
        "tiered.coherent",
        _build_coherent,
        ALONE,
        (Bar(1.25, ALONE),),
    ),
    Row(
        "tiered.get.l2",
        "get of 1 KB served and promoted by L2",
        "us",
        "tiered.l2",
        _build_from_l2,
        BARE,
        no_bar="none is set for a promoting get",
    ),
    Row(
        "tiered.put.dict",
        "put of a 200 B dict, default durability",
        "us",
        "tiered.put",
        _build_put,
        SERIALISED,
        (Bar(3.0), Bar(1.3, SERIALISED)),
    ),
    Row(
        "tiered.put.full",
        "put of a 1 KB session at full L1 and L2, reclaim archiving",
        "us",
        "tiered.full",
        _build_full,
        LMDB.name,
        (Bar(0.4, LMDB.name),),
    ),
)
