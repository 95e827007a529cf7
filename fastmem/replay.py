"""``fastmem replay TRACE``: put a recorded sequence of accesses through a memory and count hits."""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastmem.errors import ValueTooLargeError
from fastmem.terminal import bytes_text, print_table, progress, share_text
from fastmem.trace import Trace, TraceError, open_trace
from fastmem.workplace import ARCHIVE, CACHE, open_memory, working_directory

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem

__all__ = ["HELP", "Replay", "Values", "add_arguments", "replay", "run_command"]

HELP = "replay a recorded access trace and print the hit ratio of each tier"
BUFFER_BYTES = 1 << 20
SHOW_EVERY = 512
TIERS = ("l1", "l2", "l3")
MISSING: Any = object()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Replay an access trace: get each key, and on a miss put a value of the recorded size. "
        "TRACE is text, one key a line with perhaps its size in bytes after white space or a comma "
        "(# begins a comment line; gzip or xz is recognised), or NAME.ids.xz, packed 32-bit object "
        "ids, with NAME.sizes.xz beside it. Values without a size have 1,024 bytes."
    )
    parser.add_argument("trace", type=Path, metavar="TRACE", help="the file to replay")
    parser.add_argument(
        "--l1-mb",
        type=_budget(0),
        default=16.0,
        metavar="F",
        help="budget of L1 in MiB (default: 16)",
    )
    parser.add_argument(
        "--l2-mb",
        type=_budget(16),
        default=64.0,
        metavar="F",
        help="budget of L2 in MiB, 16 or more (default: 64)",
    )
    parser.add_argument(
        "--l3-mb", type=_budget(0), metavar="F", help="budget of L3 in MiB (default: unbounded)"
    )
    parser.add_argument(
        "--limit", type=_count, metavar="N", help="stop after N requests (default: the whole trace)"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="keep the memory in DIR (default: a temporary directory, removed at the end)",
    )
    parser.add_argument(
        "--durability",
        choices=("process", "disk", "cache"),
        default="process",
        help="what a put survives (default: %(default)s)",
    )


def _budget(least: float) -> Any:
    def megabytes(text: str) -> float:
        value = float(text)
        if not (least <= value < 1e9 and value > 0):
            bound = f"{least:g} or more" if least else "more than 0"
            raise argparse.ArgumentTypeError(f"{text}: must be {bound}")
        return value

    return megabytes


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return count


class Values:
    """Values that hardly compress, cut from one buffer: the same key and size, the same bytes."""

    def __init__(self) -> None:
        noise = Random(BUFFER_BYTES).randbytes(BUFFER_BYTES)
        self._buffer = noise + noise  # so that a cut may begin anywhere

    def of(self, key: str | int, size: int) -> bytes:
        """*size* bytes for *key*; one copy of that many bytes."""
        seed = key.to_bytes(8, "little") if isinstance(key, int) else key.encode()
        start = zlib.crc32(seed) % BUFFER_BYTES
        if size <= BUFFER_BYTES:
            return self._buffer[start : start + size]
        turn = self._buffer[start : start + BUFFER_BYTES]
        return (turn * (size // BUFFER_BYTES + 1))[:size]


@dataclass(slots=True)
class Replay:
    """The account of a replay."""

    requests: int = 0
    misses: int = 0
    too_large: int = 0
    bytes_asked: int = 0
    bytes_put: int = 0
    seconds: float = 0.0
    stats: dict[str, dict[str, Any]] = field(default_factory=dict)


def replay(memory: TieredMemorySystem, trace: Trace, limit: int | None = None) -> Replay:
    """Put the first *limit* requests of *trace* through *memory*.

    Raises :class:`~fastmem.trace.TraceError` at a malformed request and when there is none at all.
    """
    result = Replay()
    values = Values()
    total = trace.total if limit is None else limit
    with progress("replaying", total) as show:
        begin = perf_counter()
        for key, size in islice(trace.requests(), limit):
            result.requests += 1
            result.bytes_asked += size
            if memory.get(key, MISSING) is MISSING:
                result.misses += 1
                try:
                    memory.put(key, values.of(key, size))
                    result.bytes_put += size
                except ValueTooLargeError:
                    result.too_large += 1
            if result.requests % SHOW_EVERY == 0:
                done = trace.done() if limit is None else result.requests
                show(done, f"{share_text(result.misses, result.requests)} missed")
        result.seconds = perf_counter() - begin
        show(total or 0, f"{result.requests:,} requests")
    if not result.requests:
        raise TraceError("the trace holds no requests")
    result.stats = memory.stats()
    return result


def run_command(args: argparse.Namespace) -> int:
    trace = open_trace(args.trace)
    with (
        working_directory(args.dir, "replay") as directory,
        open_memory(
            args.l1_mb,
            directory / CACHE,
            directory / ARCHIVE,
            l2_size_mb=args.l2_mb,
            l3_size_mb=args.l3_mb,
            durability=args.durability,
        ) as memory,
    ):
        _print(replay(memory, trace, args.limit))
    return 0


def _print(result: Replay) -> None:
    tiers = [result.stats[tier] for tier in TIERS]
    rows = [
        ["hits", *(f"{tier['hits']:,}" for tier in tiers)],
        ["hit ratio", *(share_text(tier["hits"], result.requests) for tier in tiers)],
        ["entries at the end", *(f"{tier['entries']:,}" for tier in tiers)],
        ["bytes at the end", *(bytes_text(tier["bytes"]) for tier in tiers)],
        [
            "budget",
            *("none" if tier["budget"] is None else bytes_text(tier["budget"]) for tier in tiers),
        ],
        ["promotions", *(f"{tier['promotions']:,}" for tier in tiers)],
        ["demotions", *(f"{tier['demotions']:,}" for tier in tiers)],
        ["evictions", *(f"{sum(tier['evictions'].values()):,}" for tier in tiers)],
    ]
    print_table("Replay", ["", "L1 hot", "L2 warm", "L3 cold"], rows)
    hits = result.requests - result.misses
    print(f"  requests    {result.requests:,} ({bytes_text(result.bytes_asked)})")
    print(f"  hits        {hits:,} ({share_text(hits, result.requests)})")
    print(
        f"  misses      {result.misses:,} ({share_text(result.misses, result.requests)}), "
        f"{bytes_text(result.bytes_put)} put"
    )
    if result.too_large:
        print(f"  too large   {result.too_large:,} values larger than every tier")
    print(f"  speed       {result.requests / result.seconds:,.0f} requests/s, reading included")
