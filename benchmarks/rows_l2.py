"""The rows of L2: a store on local disk with a warm page cache, microseconds."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import (
    DISKCACHE,
    DISKCACHE_SYNC,
    LMDB,
    LMDB_BUFFERS,
    LMDB_READER,
    LMDB_SYNC,
    STORE_OURS,
    STORE_OURS_SYNC,
    STORE_PEERS,
    Peer,
    diskcache_peer,
    segment_store_peer,
)
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.stores import Loaded, contenders, load, new_pairs, read_job
from benchmarks.timing import Job

EVERYBODY: Final = (STORE_OURS, *STORE_PEERS)
FULL_BUDGET: Final = 16 << 20  # the smallest that a store accepts
COPYING: Final = (LMDB.name, LMDB_READER.name)
ONLY_1KB: Final = "bars are set at 1 KB"


# --- get, put, contains, delete at four sizes ---------------------------------------------------


def _sized(scene: Scene, peer: Peer, size: str) -> Loaded:
    def make() -> Loaded:
        entries = scene.scale.stores[size][0]
        values = workloads.blobs(min(entries, 256), workloads.SIZES[size])
        loaded = load(scene, peer, values, entries)
        keys = [peer.key(key) for key in workloads.session_keys(min(entries, 20))]
        loaded.check(keys, list(itertools.islice(itertools.cycle(values), len(keys))), peer.get)
        return loaded

    return scene.once((peer, size), make)


def _build_read(size: str, statement: Callable[[Peer], str | None]) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        entries, reads, _ = scene.scale.stores[size]

        def job(peer: Peer) -> Job | None:
            source = statement(peer)
            if source is None:
                return None
            return read_job(_sized(scene, peer, size), source, entries, reads)

        return contenders(EVERYBODY, job)

    return build


def _build_write(size: str, *, deleting: bool) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        writes = scene.scale.stores[size][2]
        values = workloads.blobs(min(writes, 64), workloads.SIZES[size])

        def job(peer: Peer) -> Job:
            loaded = _sized(scene, peer, size)
            batches = new_pairs(peer, values, loaded.operations(writes))
            put, empty_put = loaded.loop(peer.store(), "k, v")
            delete, empty_delete = loaded.loop(peer.write(peer.delete))

            def put_then_delete() -> float:
                pairs = next(batches)
                keys = [key for key, _ in pairs]
                put_ns = timing.net_ns(put, empty_put, pairs)
                delete_ns = timing.net_ns(delete, empty_delete, keys)
                return (delete_ns if deleting else put_ns) / 1000

            return put_then_delete

        return contenders(EVERYBODY, job)

    return build


def _build_view(size: str) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        entries, reads, _ = scene.scale.stores[size]

        def job(peer: Peer) -> Job:
            loaded = _sized(scene, peer, size)
            return read_job(loaded, peer.view or peer.get, entries, reads)

        return contenders((STORE_OURS, LMDB_BUFFERS, LMDB_READER), job)

    return build


def _sized_rows(size: str) -> Iterator[Row]:
    scene, bars = f"l2.{size}", size == "1KB"
    yield Row(
        f"l2.get.{size}",
        f"get of {size}, uniform",
        "us",
        scene,
        _build_read(size, lambda peer: peer.get),
        LMDB.name,
        (Bar(0.5, LMDB.name), Bar(0.7, COPYING), Bar(0.1, DISKCACHE.name)) if bars else (),
        "" if bars else ONLY_1KB,
    )
    if size in ("64KB", "1MB"):
        yield Row(
            f"l2.view.{size}",
            f"zero-copy view of {size}",
            "us",
            scene,
            _build_view(size),
            LMDB_BUFFERS.name,
            (Bar(1.0), Bar(1.0, LMDB_BUFFERS.name)),
        )
    yield Row(
        f"l2.contains.{size}",
        f"k in store, {size} values",
        "us",
        scene,
        _build_read(size, lambda peer: peer.contains),
        LMDB.name,
        (Bar(0.25),),
    )
    yield Row(
        f"l2.put.{size}",
        f"put of a new key, {size}, space free",
        "us",
        scene,
        _build_write(size, deleting=False),
        LMDB.name,
        (Bar(0.4, LMDB.name), Bar(1 / 40, DISKCACHE.name)) if bars else (),
        "" if bars else ONLY_1KB,
    )
    yield Row(
        f"l2.delete.{size}",
        f"delete of an existing key, {size}",
        "us",
        scene,
        _build_write(size, deleting=True),
        LMDB.name,
        no_bar="none is set for delete",
    )


# --- put at full budget, and durable put ----------------------------------------------------------


def _build_full(scene: Scene) -> Field:
    """Every store bounded to 16 MiB of 1 KB records and full before the first round."""
    resident = FULL_BUDGET // 1100
    writes = scene.scale.stores["1KB"][2] * 4
    values = workloads.blobs(64, workloads.SIZES["1KB"])
    # lmdb has no budget of its own: its user deletes the oldest in the same transaction.
    lmdb = dataclasses.replace(LMDB, put="t.put(k, {v}); t.delete(old)")
    bounded = diskcache_peer(
        DISKCACHE.name, size_limit=FULL_BUDGET, eviction_policy="least-recently-stored"
    )

    def job(peer: Peer) -> Job:
        store = peer.make(scene.folder())
        scene.at_end(functools.partial(peer.close, store))
        loaded = Loaded(peer, store, {})
        put, empty = loaded.loop(peer.store(), "k, v, old")
        starts = itertools.count(3 * resident, loaded.operations(writes))

        def batch(start: int, count: int) -> list[tuple[Any, Any, Any]]:
            keys = [peer.key(k) for k in workloads.session_keys(count + resident, start - resident)]
            return list(zip(keys[resident:], itertools.cycle(values), keys, strict=False))

        put(batch(resident, 2 * resident))

        def full_put() -> float:
            return timing.net_ns(put, empty, batch(next(starts), loaded.operations(writes))) / 1000

        return full_put

    ours = segment_store_peer(OURS, budget_bytes=FULL_BUDGET)
    return contenders((ours, lmdb, bounded), job)


def _build_durable(scene: Scene) -> Field:
    values = workloads.blobs(16, workloads.SIZES["1KB"])

    def job(peer: Peer) -> Job:
        store = peer.make(scene.folder())
        scene.at_end(functools.partial(peer.close, store))
        put, empty = Loaded(peer, store, {}).loop(peer.store(), "k, v")
        batches = new_pairs(peer, values, 16)
        put(next(batches))
        return lambda: timing.net_ns(put, empty, next(batches)) / 1000

    return contenders((STORE_OURS_SYNC, LMDB_SYNC, DISKCACHE_SYNC), job)


ROWS: Final = (
    *(row for size in workloads.SIZES for row in _sized_rows(size)),
    Row(
        "l2.put.full",
        "put of 1 KB at a full 16 MiB budget, reclaim running",
        "us",
        "l2.full",
        _build_full,
        LMDB.name,
        (Bar(0.4, LMDB.name), Bar(1 / 40, DISKCACHE.name)),
    ),
    Row(
        "l2.put.durable",
        "put of 1 KB that survives power loss",
        "us",
        "l2.durable",
        _build_durable,
        LMDB_SYNC.name,
        no_bar="the peers' times, and no limit",
    ),
)
