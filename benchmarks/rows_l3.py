"""The rows of L3: session-like records, fastmem's archive against zlib at its best level."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import random
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import ours, why_no_fastmem
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

ZLIB: Final = "zlib-9"
DICTIONARY: Final = "zstd-3, trained dictionary"
DICTIONARY_BYTES: Final = 112 * 1024
TRAINING_BYTES: Final = 3_000_000  # fastmem trains on its first 2 MiB or so
TRAINING_S: Final = 20.0
SAME_ARCHIVE: Final = "zlib-9 in the same archive"
DRIFT: Final = "not yet: retraining when the data drifts"


def _records(scene: Scene) -> list[bytes]:
    return scene.once("records", lambda: workloads.session_bytes(scene.scale.records))


def _held_out(scene: Scene) -> list[bytes]:
    """The records that no dictionary was trained on: every measure is taken on these."""
    return _records(scene)[_trained_on(_records(scene)) :]


def _trained_on(records: Sequence[bytes]) -> int:
    """How many records come first, for training: half of a small set."""
    total = 0
    for count, record in enumerate(records):
        total += len(record)
        if total >= TRAINING_BYTES or count >= len(records) // 2:
            return count
    return 0


class _Zlib:
    """Each record compressed by itself, kept in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, record: bytes) -> None:
        self.kept[key] = zlib.compress(record, 9)

    def get(self, key: str) -> bytes:
        return zlib.decompress(self.kept[key])

    def ratio(self, records: Sequence[bytes]) -> float:
        """Of the frames alone, keys and index left out."""
        return _bare_ratio(self, records)


class _Trained:
    """zstandard with a dictionary trained on the first records: the idea, bare."""

    def __init__(self, training: Sequence[bytes]) -> None:
        zstandard = importlib.import_module("zstandard")
        trained = zstandard.train_dictionary(DICTIONARY_BYTES, list(training))
        trained.precompute_compress(level=3)
        self.compress = zstandard.ZstdCompressor(level=3, dict_data=trained).compress
        self.decompress = zstandard.ZstdDecompressor(dict_data=trained).decompress
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, record: bytes) -> None:
        self.kept[key] = self.compress(record)

    def get(self, key: str) -> Any:
        return self.decompress(self.kept[key])

    def ratio(self, records: Sequence[bytes]) -> float:
        """Of the frames alone, the dictionary left out."""
        return _bare_ratio(self, records)


def _bare_ratio(holder: _Zlib | _Trained, records: Sequence[bytes]) -> float:
    for index, record in enumerate(records):
        holder.put(str(index), record)
    frames = sum(len(holder.kept.pop(str(index))) for index in range(len(records)))
    return sum(map(len, records)) / frames


class _Ours:
    """fastmem's Archive, as a user opens it."""

    def __init__(self, scene: Scene) -> None:
        self.archive = ours("Archive")(scene.folder())
        scene.at_end(self.archive.close)
        self.put, self.get = self.archive.put, self.archive.get

    def wait_until_trained(self) -> None:
        """Until a dictionary is there. Without one the measures go on, and show it."""
        end = time.monotonic() + TRAINING_S
        while not self.archive.stats()["dictionaries"] and time.monotonic() < end:
            time.sleep(0.01)

    def ratio(self, records: Sequence[bytes]) -> float:
        """Of the frames alone, by the archive's own count."""
        before = self.archive.stats()["stored_bytes"]
        for index, record in enumerate(records):
            self.put(f"ratio:{index}", record)
        stored = int(self.archive.stats()["stored_bytes"] - before)
        return sum(map(len, records)) / stored

    def disk_ratio(self, records: Sequence[bytes], sizes: Sequence[int]) -> float:
        """``sizes`` that go in while the files grow by one segment, over that growth.

        Record heads, keys, checksums and index are in; the part of a segment that is allocated
        and still empty is not, which would only say how little was put.
        """
        growths = self._growths(records, sizes)
        next(growths)
        payload, bytes_grown = next(growths)
        return payload / bytes_grown

    def _growths(self, records: Sequence[bytes], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
        """At each new file: sizes put, and bytes of files added, since the one before."""
        stats = self.archive.stats()
        payload, files, size = 0, stats["files"], stats["bytes"]
        for index, record in enumerate(itertools.cycle(records)):
            self.put(f"disk:{index}", record)
            payload += sizes[index % len(sizes)]
            if index % 32 == 0:
                stats = self.archive.stats()
                if stats["files"] > files:
                    yield payload, stats["bytes"] - size
                    payload, files, size = 0, stats["files"], stats["bytes"]


def _filled(scene: Scene) -> dict[str, Any]:
    """Every contender holding all records, trained on the first of them."""

    def make() -> dict[str, Any]:
        records = _records(scene)
        keys = workloads.session_keys(len(records))
        training = _trained_on(records)
        large = sum(map(len, records[:training])) >= TRAINING_BYTES // 2
        made: dict[str, Any] = {ZLIB: _Zlib()}
        missing = why_no_fastmem("Archive")
        made[OURS] = Absent(missing) if missing else _Ours(scene)
        if importlib.util.find_spec("zstandard"):
            made[DICTIONARY] = _Trained(records[:training])
        else:
            made[DICTIONARY] = Absent("zstandard is not installed")
        for holder in made.values():
            if not isinstance(holder, Absent):
                for index, (key, record) in enumerate(zip(keys, records, strict=True)):
                    holder.put(key, record)
                    if index == training and large and isinstance(holder, _Ours):
                        holder.wait_until_trained()
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
    records = _held_out(scene)

    def job(holder: Any) -> Job | Absent:
        if isinstance(holder, _Ours) and "stored_bytes" not in holder.archive.stats():
            return Absent('Archive.stats() has no "stored_bytes" yet')
        return lambda: holder.ratio(records)

    return _each(scene, job)


def _build_disk_ratio(scene: Scene) -> Field:
    """Like for like: what zlib made goes into an archive too, which keeps it as it is."""
    missing = why_no_fastmem("Archive")
    if missing:
        return {OURS: Absent(missing), SAME_ARCHIVE: Absent(missing)}
    records = _held_out(scene)
    sizes = [len(record) for record in records]
    trained = _filled(scene)[OURS]

    def with_zlib() -> float:
        return _Ours(scene).disk_ratio([zlib.compress(r, 9) for r in records], sizes)

    return {OURS: lambda: trained.disk_ratio(records, sizes), SAME_ARCHIVE: with_zlib}


def _build_speed(scene: Scene) -> Field:
    """MB/s of putting held-out records, under new keys every round."""
    records = _held_out(scene)[:1500]
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
    """Random reads of the held-out records of 1 to 2 KB."""
    records = _held_out(scene)
    keys = workloads.session_keys(len(records), len(_records(scene)) - len(records))
    chosen = [k for k, r in zip(keys, records, strict=True) if 1000 <= len(r) <= 2000]
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
        "l3.ratio",
        "bytes of session records / bytes of their frames",
        "x",
        "l3",
        _build_ratio,
        ZLIB,
        (Bar(1.6, ZLIB, at_least=True),),
        rounds=1,
    ),
    Row(
        "l3.ratio.disk",
        "bytes of session records / bytes of files that they add",
        "x",
        "l3",
        _build_disk_ratio,
        SAME_ARCHIVE,
        no_bar="the bar counts frames",
        rounds=1,
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
