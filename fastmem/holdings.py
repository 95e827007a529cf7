"""``fastmem stats DIR``: what a directory holds, told without changing a byte of it."""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fastmem.arguments import positive, whole
from fastmem.errors import StoreLockedError
from fastmem.terminal import Draw, bytes_text, clear_screen, counted, print_table, unseen
from fastmem.workplace import ARCHIVE, CACHE, OpenError, open_memory

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem
    from fastmem.storage.archive import Archive
    from fastmem.storage.progress import OnProgress
    from fastmem.storage.store import SegmentStore

__all__ = [
    "HELP",
    "READ_ONLY",
    "add_arguments",
    "add_directories",
    "locate",
    "open_found",
    "run_command",
]

Stats: TypeAlias = Mapping[str, dict[str, Any]]

ALWAYS_SHOWN = ("entries", "bytes", "files", "format")
HELP = "print what a directory holds, without changing it"
TIERS = {"l2": "L2 warm", "l3": "L3 cold"}
READ_ONLY = (
    "The directory is opened read-only: no byte and no time stamp changes. DIR may also be the "
    "directory around L2 and L3, when they are called cache and archive in it."
)
READING_MB = 16  # the least; budgets are those of the process that writes, a directory holds none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print what DIR holds: the L2 of a memory together with its L3, a SegmentStore or an "
        f"Archive. {READ_ONLY}"
    )
    add_directories(parser)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.add_argument(
        "--watch", type=seconds, metavar="SECONDS", help="again and again, until interrupted"
    )
    parser.add_argument(
        "--count", type=times, metavar="N", help="with --watch: so many times at most"
    )


def seconds(text: str) -> float:
    return positive("--watch", float(text))


def times(text: str) -> int:
    return whole("--count", int(text), 1)


def add_directories(parser: argparse.ArgumentParser) -> None:
    """The arguments that `locate` and `open_found` take."""
    parser.add_argument(
        "dir", type=Path, metavar="DIR", help="the directory, or the one around L2 and L3"
    )
    parser.add_argument(
        "--l3",
        type=Path,
        metavar="DIR",
        help="the directory of L3 (default: the one called archive beside L2)",
    )


def locate(directory: Path, archive: Path | None) -> dict[str, Path]:
    """The directories of the tiers, "l2" and "l3" or one of them, that the arguments mean.

    Raises ``FileNotFoundError`` or ``NotADirectoryError`` for what was named and is not there,
    :class:`~fastmem.workplace.OpenError` when L3 is not where it is by default, somebody else's or
    alone, and what opening raises for what is no store.
    """
    from fastmem.storage.kinds import Kind, are_partners, kind_by_names, kind_of

    for named in (directory, archive):
        if named is not None and not named.is_dir():
            code = errno.ENOTDIR if named.exists() else errno.ENOENT
            raise OSError(code, os.strerror(code), str(named))
    around = (directory / CACHE).is_dir()
    first = directory / CACHE if around else directory
    kind = kind_of(first)
    cold = archive if archive is not None else first.absolute().parent / ARCHIVE
    if archive is None:
        likely = kind_by_names(first)
        if likely is Kind.ARCHIVE:
            return {"l3": first}
        if likely is Kind.SEGMENTS and not cold.is_dir():
            return {"l2": first}
    if kind is Kind.ARCHIVE and archive in (None, first):
        return {"l3": first}
    if kind is Kind.L3:
        raise OpenError(f"{first} is {kind.value}: name the directory of its L2")
    if kind is Kind.SEGMENTS and archive is None:
        return {"l2": first}
    if not cold.is_dir():
        found = "no store is in it, and no" if kind is None else "no"
        told = f"{found} directory {ARCHIVE} beside it; say with --l3 where L3 is"
        raise OpenError(f"{first}: {told}")
    if not are_partners(first, cold):
        raise OpenError(f"{cold} is not the L3 of {first}")
    return {"l2": first, "l3": cold}


def open_found(
    paths: Mapping[str, Path], progress: OnProgress | None = None
) -> TieredMemorySystem | SegmentStore | Archive:
    """Open what `locate` told for looking alone. Raises as `open_memory`."""
    from fastmem.storage.archive import Archive
    from fastmem.storage.store import SegmentStore

    if len(paths) == 2:
        return open_memory(
            1, *paths.values(), l2_size_mb=READING_MB, read_only=True, progress=progress
        )
    if "l2" in paths:
        return SegmentStore(
            paths["l2"], budget_bytes=READING_MB << 20, read_only=True, progress=progress
        )
    return Archive(paths["l3"], read_only=True, progress=progress)


def run_command(args: argparse.Namespace) -> int:
    paths = locate(args.dir, args.l3)
    draw = unseen if args.json else counted
    if args.watch is None:
        _print(paths, _look(paths, draw), as_json=args.json)
        return 0
    for turn in itertools.count(1):
        # Opened each time anew: whoever wants to write is kept out for a moment at most.
        try:
            stats: Stats | None = _look(paths, draw)
        except StoreLockedError:
            stats = None
        if not args.json:
            clear_screen()
            print(time.strftime("%H:%M:%S"))
        _print(paths, stats, as_json=args.json)
        if turn == args.count:
            break
        try:
            time.sleep(args.watch)
        except KeyboardInterrupt:  # as it is meant to end
            break
    return 0


def _look(paths: Mapping[str, Path], draw: Draw) -> Stats:
    """The figures of the tiers. Raises as `open_found`."""
    with draw("opening") as show, open_found(paths, show) as store:
        told = store.stats()
    stats = {tier: told[tier] for tier in paths} if len(paths) == 2 else dict.fromkeys(paths, told)
    for tier in stats.values():
        del tier["budget"]
    return stats


def _print(paths: Mapping[str, Path], stats: Stats | None, *, as_json: bool) -> None:
    """Print figures; None where another process has the directories to itself."""
    if as_json:
        named = {f"{tier}_path": str(path) for tier, path in paths.items()}
        print(json.dumps({**named, **({"locked": True} if stats is None else stats)}, indent=2))
        sys.stdout.flush()
        return
    for name, path in paths.items():
        print(f"{name.upper()}  {path}")
    if stats is None:
        print("another process has it to itself")
    else:
        print_table("What they hold", ["", *(TIERS[tier] for tier in stats)], _rows(stats))
    sys.stdout.flush()


def _rows(stats: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row for every figure that says something: the counters of a process just begun are 0."""
    flat = {tier: dict(_flatten(stats[tier])) for tier in stats}
    names = dict.fromkeys(name for tier in flat.values() for name in tier)
    return [
        [name.replace("_", " "), *(_cell(name, tier.get(name, "")) for tier in flat.values())]
        for name in names
        if any(tier.get(name) for tier in flat.values()) or name in ALWAYS_SHOWN
    ]


def _flatten(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat += _flatten(value, f"{prefix}{name}: ")
        else:
            flat.append((prefix + name, value))
    return flat


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return bytes_text(value) if "bytes" in name else f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
