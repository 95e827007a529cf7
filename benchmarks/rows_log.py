"""The rows of the log as a whole: the slowest put of a long fill, a rebuild, bytes on disk."""

from __future__ import annotations

import functools
import itertools
import os
import statistics
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import peers, timing, workloads
from benchmarks.rows import OURS, Bar, Field, Row, Scene

SIZES: Final = range(93, 109)  # of values: 100 B, and on average half a unit is filled up
READ_BYTES: Final = 1 << 20
TAIL_AT, UNIT_BYTES = 192, 16
MEDIAN: Final = "the median put"


def _store(path: Path) -> Any:
    """With room for everything."""
    return peers.ours("SegmentStore")(path, budget_bytes=2 << 30)


def _numbers(count: int) -> Iterator[bytes]:
    return (b"%012d" % number for number in range(count))


# --- a fill -------------------------------------------------------------------------------------


def _put_times_ms(scene: Scene) -> Sequence[float]:
    """Of each put of a fill, the file system's work included."""
    store = _store(scene.folder())
    taken = array("d")
    names = {"c": store, "now": time.perf_counter_ns, "note": taken.append}
    put = timing.compile_loop("start = now()\nc.put(k, k)\nnote((now() - start) / 1e6)", names)
    numbers = _numbers(scene.scale.filled_entries)
    while some := list(itertools.islice(numbers, 100_000)):
        put(some)
    store.close()
    return taken


def _build_fill(scene: Scene) -> Field:
    taken = functools.partial(scene.once, "fill", functools.partial(_put_times_ms, scene))
    return {OURS: lambda: max(taken()), MEDIAN: lambda: statistics.median_low(taken())}


# --- a rebuild, and what records take -----------------------------------------------------------


def _filled(scene: Scene) -> Path:
    """A closed store of records of SIZES."""
    path = scene.folder()
    store = _store(path)
    values = itertools.cycle([workloads.blob(size, 0) for size in SIZES])
    for key, value in zip(_numbers(scene.scale.opened_entries), values, strict=False):
        store.put(key, value)
    store.close()
    return path


def _read_ns(path: Path) -> int:
    """Nanoseconds that it takes to read all segments."""
    buffer = bytearray(READ_BYTES)
    start = time.perf_counter_ns()
    for file in sorted(path.glob("seg.*")):
        fd = os.open(file, os.O_RDONLY)
        try:
            while os.readv(fd, [buffer]):
                pass
        finally:
            os.close(fd)
    return time.perf_counter_ns() - start


def _build_rebuild(scene: Scene) -> Field:
    path = scene.once("log", functools.partial(_filled, scene))
    count = scene.scale.opened_entries

    def rebuild_ns() -> float:
        (path / "index").unlink()
        reading = _read_ns(path)
        start = time.perf_counter_ns()
        store = _store(path)
        taken = time.perf_counter_ns() - start
        if len(store) != count:
            raise AssertionError(f"{len(store)} of {count} records after a rebuild")
        store.close()
        return (taken - reading) / count

    return {OURS: rebuild_ns, "reading the segments": lambda: _read_ns(path) / count}


def _build_overhead(scene: Scene) -> Field:
    path = scene.once("log", functools.partial(_filled, scene))
    content = statistics.mean(SIZES) + len(next(_numbers(1)))

    def overhead() -> float:
        return _log_bytes(path) / scene.scale.opened_entries - content

    def index() -> float:
        blocks = sum((path / name).stat().st_blocks for name in ("index", "overflow"))
        return 512 * blocks / scene.scale.opened_entries

    return {OURS: overhead, "its share of the index": index}


def _log_bytes(path: Path) -> int:
    """Where the log ends; what is made ahead of that is nobody's yet. FORMAT.md says where."""
    with (path / "super").open("rb") as page:
        page.seek(TAIL_AT)
        (tail,) = struct.unpack("<Q", page.read(8))
    return int(tail) * UNIT_BYTES


ROWS: Final = (
    Row(
        "l2.fill.slowest",
        "the slowest single put of a fill with small records",
        "ms",
        "l2.fill",
        _build_fill,
        MEDIAN,
        no_bar="none is set for it",
        rounds=1,
    ),
    Row(
        "l2.rebuild",
        "rebuild of the index, a record of 100 B, without the time that reading takes",
        "ns",
        "l2.log",
        _build_rebuild,
        "reading the segments",
        (Bar(150.0),),
        rounds=5,
    ),
    Row(
        "l2.overhead",
        "bytes on disk of a record of 100 B, beside key and value, without the index",
        "B",
        "l2.log",
        _build_overhead,
        "its share of the index",
        (Bar(64.0),),
        rounds=1,
    ),
)
