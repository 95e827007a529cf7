"""The rows of L3: session-like records, fastmem's archive against zlib at its best level."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import random
import time
import zlib
from collections.abc import Sequence
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import ours, why_no_fastmem
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

ZLIB: Final = "zlib-9"
DICTIONARY: Final = "zstd-3, trained dictionary"
DICTIONARY_BYTES: Final = 112 * 1024
DRIFT: Final = "not yet: issue 5 (retraining when the data drifts)"


def _records(scene: Scene) -> list[bytes]:
    return scene.once("records", lambda: workloads.session_bytes(scene.scale.records))


class _Zlib:
    """Each record compressed by itself, kept in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, record: bytes) -> None:
        self.kept[key] = zlib.compress(record, 9)

    def get(self, key: str) -> bytes:
        return zlib.decompress(self.kept[key])

    def stored_bytes(self) -> int:
        return sum(map(len, self.kept.values()))


class _Trained:
    """zstandard with a dictionary trained on the first tenth of the records: the idea, bare."""

    def __init__(self, records: Sequence[bytes]) -> None:
        zstandard = importlib.import_module("zstandard")
        trained = zstandard.train_dictionary(DICTIONARY_BYTES, records[: len(records) // 10])
        self.compress = zstandard.ZstdCompressor(level=3, dict_data=trained).compress
        self.decompress = zstandard.ZstdDecompressor(dict_data=trained).decompress
        self.kept: dict[str, bytes] = {}
        self._dictionary_bytes = len(trained.as_bytes())

    def put(self, key: str, record: bytes) -> None:
        self.kept[key] = self.compress(record)

    def get(self, key: str) -> Any:
        return self.decompress(self.kept[key])

    def stored_bytes(self) -> int:
        return sum(map(len, self.kept.values())) + self._dictionary_bytes


class _Ours:
    """fastmem's Archive, as a user opens it."""

    def __init__(self, scene: Scene) -> None:
        self.archive = ours("Archive")(scene.folder())
        scene.at_end(self.archive.close)
        self.put, self.get = self.archive.put, self.archive.get

    def stored_bytes(self) -> int:
        return int(self.archive.stats()["bytes"])


def _filled(scene: Scene) -> dict[str, Any]:
    """Every contender holding all records, and the seconds that its puts took."""

    def make() -> dict[str, Any]:
        records = _records(scene)
        keys = workloads.session_keys(len(records))
        made: dict[str, Any] = {ZLIB: _Zlib()}
        missing = why_no_fastmem("Archive")
        made[OURS] = Absent(missing) if missing else _Ours(scene)
        if importlib.util.find_spec("zstandard"):
            made[DICTIONARY] = _Trained(records)
        else:
            made[DICTIONARY] = Absent("zstandard is not installed")
        for holder in made.values():
            if not isinstance(holder, Absent):
                for key, record in zip(keys, records, strict=True):
                    holder.put(key, record)
                for index in range(0, len(records), 97):
                    if holder.get(keys[index]) != records[index]:
                        raise AssertionError(f"{holder}: wrong value for {keys[index]!r}")
        return made

    return scene.once("filled", make)


def _each(scene: Scene, job: Any) -> Field:
    return {
        name: holder if isinstance(holder, Absent) else job(holder)
        for name, holder in _filled(scene).items()
    }


def _build_ratio(scene: Scene) -> Field:
    total = sum(map(len, _records(scene)))
    return _each(scene, lambda holder: lambda: total / holder.stored_bytes())


def _build_speed(scene: Scene) -> Field:
    """MB/s of putting records that are already trained for, new keys every round."""
    records = _records(scene)[:1500]
    megabytes = sum(map(len, records)) / 1e6

    def job(holder: Any) -> Job:
        rounds = iter(range(1, 1000))

        def put_all() -> float:
            put = holder.put
            keys = workloads.session_keys(len(records), next(rounds) * 10_000_000)
            start = time.perf_counter()
            for key, record in zip(keys, records, strict=True):
                put(key, record)
            return megabytes / (time.perf_counter() - start)

        return put_all

    return _each(scene, job)


def _build_read(scene: Scene) -> Field:
    """Random reads of the records of 1 to 2 KB."""
    keys = workloads.session_keys(len(_records(scene)))
    chosen = [k for k, r in zip(keys, _records(scene), strict=True) if 1000 <= len(r) <= 2000]
    random.Random(7001).shuffle(chosen)

    def job(holder: Any) -> Job:
        names = {"get": holder.get}
        loop, empty = timing.compile_loop("get(k)", names), timing.compile_loop("pass", names)
        return functools.partial(_microseconds, loop, empty, chosen[:2000])

    return _each(scene, job)


def _microseconds(loop: timing.Loop, empty: timing.Loop, keys: Sequence[str]) -> float:
    return timing.net_ns(loop, empty, keys) / 1000


def _drifted(_: Scene) -> Field:
    return {OURS: Absent(DRIFT)}


ROWS: Final = (
    Row(
        "l3.ratio",
        "bytes of session records / bytes stored, all overhead in",
        "x",
        "l3",
        _build_ratio,
        ZLIB,
        (Bar(1.6, ZLIB, at_least=True),),
        rounds=1,
    ),
    Row(
        "l3.speed",
        "session records into the archive",
        "MB/s",
        "l3",
        _build_speed,
        ZLIB,
        (Bar(4.0, ZLIB, at_least=True),),
    ),
    Row(
        "l3.get",
        "random read of a 1-2 KB record",
        "us",
        "l3",
        _build_read,
        ZLIB,
        (Bar(8.0),),
    ),
    Row(
        "l3.drift",
        "ratio on drifted data / ratio with a fresh dictionary",
        "x",
        "l3.drift",
        _drifted,
        "fresh dictionary",
        (Bar(0.97, "fresh dictionary", at_least=True),),
        rounds=1,
    ),
)
