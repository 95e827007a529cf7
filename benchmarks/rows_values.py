"""The rows of what users really store: dicts through a codec, and numpy arrays."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import (
    DISKCACHE,
    FILES,
    LMDB,
    LMDB_BUFFERS,
    LMDB_READER,
    STORE_OURS,
    Peer,
)
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.stores import Loaded, contenders, load, new_pairs, read_job
from benchmarks.timing import Absent, Job


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
    why = "shown without a limit: the codec dwarfs the store"
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


ROWS: Final = (
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
)
