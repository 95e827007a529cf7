"""The rows of L2: a store on local disk with a warm page cache, microseconds."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from benchmarks import child, timing, workloads
from benchmarks.peers import (
    DISKCACHE,
    DISKCACHE_SYNC,
    FILES,
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
    why_absent,
)
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

EVERYBODY: Final = (STORE_OURS, *STORE_PEERS)
FULL_BUDGET: Final = 16 << 20  # the smallest that a store accepts
NOT_SHARED: Final = "not yet: issue 4 (several processes on one directory)"
ONLY_1KB: Final = "ANCHORS.md sets its bars at 1 KB"


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

        def job(peer: Peer) -> Job | Absent:
            loaded = _sized(scene, peer, size)
            if peer is STORE_OURS and not hasattr(loaded.store, "get_view"):
                return Absent("not yet: issue 4 (get_view)")
            return read_job(loaded, peer.view or peer.get, entries, reads)

        return contenders((STORE_OURS, LMDB_BUFFERS, LMDB_READER), job)

    return build


def _best_copying_lmdb(size: str) -> Callable[[Scene], Field]:
    """The get row, with the better of lmdb's two copying modes, round by round, as one name."""
    plain = _build_read(size, lambda peer: peer.get)

    def build(scene: Scene) -> Field:
        jobs = dict(plain(scene))
        modes = [jobs[LMDB.name], jobs[LMDB_READER.name]]
        ready = [mode for mode in modes if not isinstance(mode, Absent)]
        jobs["lmdb, best copying"] = (
            (lambda: min(mode() for mode in ready)) if ready else Absent("lmdb is not installed")
        )
        return jobs

    return build


def _sized_rows(size: str) -> Iterator[Row]:
    scene, bars = f"l2.{size}", size == "1KB"
    yield Row(
        f"l2.get.{size}",
        f"get of {size}, uniform",
        "us",
        scene,
        _best_copying_lmdb(size),
        LMDB.name,
        (Bar(0.5, LMDB.name), Bar(0.7, "lmdb, best copying"), Bar(0.1, DISKCACHE.name))
        if bars
        else (),
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
        no_bar="ANCHORS.md names none for delete",
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


# --- what users really store ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Codec:
    """How a dict becomes bytes for the peers that take nothing else."""

    name: str

    def functions(self) -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
        if self.name == "pickle":
            return functools.partial(pickle.dumps, protocol=5), pickle.loads
        import msgspec

        return msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


def _dicts(scene: Scene, peer: Peer, codec: _Codec) -> tuple[Loaded, bool]:
    """The loaded store, and whether the codec runs in the caller's statement."""
    # fastmem stores such dicts through msgspec by itself; diskcache and the files pickle.
    native = peer.any_value and (peer is not STORE_OURS or codec.name == "msgspec")

    def make() -> Loaded:
        entries = scene.scale.stores["1KB"][0]
        values = workloads.small_dicts(min(entries, 256))
        dumps, loads = codec.functions()
        loaded = load(scene, peer, values, entries, dumps=None if native else dumps)
        loaded.extra.update(dumps=dumps, loads=loads)
        keys = [peer.key(key) for key in workloads.session_keys(20)]
        loaded.check(keys, values[:20], peer.get if native else f"loads({peer.get})")
        return loaded

    return scene.once((peer, codec), make), native


def _build_dict(codec: _Codec, *, writing: bool) -> Callable[[Scene], Field]:
    takes_bytes = (STORE_OURS, LMDB, LMDB_READER)
    peers = (*takes_bytes, DISKCACHE, FILES) if codec.name == "pickle" else takes_bytes

    def build(scene: Scene) -> Field:
        entries, reads, writes = scene.scale.stores["1KB"]
        values = workloads.small_dicts(64)

        def job(peer: Peer) -> Job:
            loaded, native = _dicts(scene, peer, codec)
            if not writing:
                expression = peer.get if native else f"loads({peer.get})"
                return read_job(loaded, expression, entries, reads)
            put, empty = loaded.loop(peer.store("v" if native else "dumps(v)"), "k, v")
            batches = new_pairs(peer, values, loaded.operations(writes))
            return lambda: timing.net_ns(put, empty, next(batches)) / 1000

        return contenders(peers, job)

    return build


def _dict_rows(codec: _Codec) -> Iterator[Row]:
    why = "ANCHORS.md asks for the row and names no limit: the codec dwarfs the store"
    for verb in ("get", "put"):
        yield Row(
            f"l2.{verb}.dict.{codec.name}",
            f"{verb} of a 200 B dict through {codec.name}",
            "us",
            f"l2.dict.{codec.name}",
            _build_dict(codec, writing=verb == "put"),
            LMDB.name,
            no_bar=why,
        )


def _build_arrays(scene: Scene) -> Field:
    """128 KB numpy arrays, back as arrays."""
    try:
        import numpy as np
    except ImportError:
        return {OURS: Absent("numpy is not installed")}
    entries = 64
    values = workloads.arrays(entries)

    def job(peer: Peer) -> Job:
        native = peer.any_value
        loaded = load(scene, peer, values, entries, dumps=None if native else np.ndarray.tobytes)
        loaded.extra["array"] = functools.partial(np.frombuffer, dtype=np.float64)
        expression = peer.get if native else f"array({peer.get})"
        keys = [peer.key(key) for key in workloads.session_keys(entries)]
        loaded.check(keys, values, expression)
        return read_job(loaded, expression, entries, scene.scale.stores["64KB"][1])

    return contenders((STORE_OURS, LMDB, LMDB_BUFFERS, DISKCACHE, FILES), job)


# --- opening --------------------------------------------------------------------------------------


def _build_open(*, killed: bool) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        count = scene.scale.opened_entries

        def job(peer: Peer) -> Job:
            def fill() -> Any:
                path = scene.folder()
                store = peer.make(path)
                child.fill_store(peer, store, child.open_pairs(peer, count))
                peer.close(store)
                return path

            path = scene.once(("open", peer), fill)
            read = peer.read(f"got({peer.get})")
            key, value = child.open_pairs(peer, 1)[0]

            def open_and_get() -> float:
                if killed:
                    child.write_and_die(peer.name, path, 100)
                got: list[Any] = []
                start = time.perf_counter_ns()
                store = peer.make(path)
                opening = time.perf_counter_ns() - start
                names = {**peer.names(store), "c": store, "got": got.append}
                reading = timing.compile_loop(read, names)([key])
                peer.close(store)
                if got != [value]:
                    raise AssertionError(f"{peer.name} lost {key!r} over a reopening")
                return (opening + reading) / 1e6

            return open_and_get

        return contenders((STORE_OURS, LMDB), job)

    return build


def _not_shared(_: Scene) -> Field:
    return {OURS: Absent(NOT_SHARED)}


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
        no_bar="ANCHORS.md gives the peers' times and no limit",
    ),
    *_dict_rows(_Codec("pickle")),
    *_dict_rows(_Codec("msgspec")),
    Row(
        "l2.get.array",
        "get of a 128 KB numpy array",
        "us",
        "l2.array",
        _build_arrays,
        LMDB_BUFFERS.name,
        (Bar(1.0), Bar(1.0, LMDB_BUFFERS.name)),
    ),
    Row(
        "l2.open.clean",
        "open and first get, after a clean close",
        "ms",
        "l2.open",
        _build_open(killed=False),
        LMDB.name,
        (Bar(5.0),),
    ),
    Row(
        "l2.open.killed",
        "open and first get, after kill -9 of a writer",
        "ms",
        "l2.open",
        _build_open(killed=True),
        LMDB.name,
        (Bar(5.0),),
    ),
    Row(
        "l2.readers.two",
        "throughput of two reading processes",
        "op/s",
        "l2.shared",
        _not_shared,
        "one reader",
        (Bar(1.8, "one reader", at_least=True),),
    ),
    Row(
        "l2.tail.reader",
        "p99.9 of a get / its median beside a writing process",
        "x",
        "l2.shared",
        _not_shared,
        LMDB.name,
        (Bar(20.0),),
    ),
    Row(
        "l2.tail.writers",
        "p99.99 of a put, two writing processes",
        "ms",
        "l2.shared",
        _not_shared,
        LMDB.name,
        (Bar(10.0),),
    ),
)
