"""``fastmem stats DIR``: what a directory holds, told without changing a byte of it."""

from __future__ import annotations

import argparse
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmem.terminal import bytes_text, print_table
from fastmem.workplace import ARCHIVE, CACHE, OpenError, open_memory

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem

__all__ = [
    "HELP",
    "READ_ONLY",
    "add_arguments",
    "add_directories",
    "locate",
    "open_found",
    "run_command",
]

ALWAYS_SHOWN = ("entries", "bytes", "files", "format")
HELP = "print what a directory holds, without changing it"
TIERS = {"l2": "L2 warm", "l3": "L3 cold"}
READ_ONLY = (
    "The directory is opened read-only: no byte and no time stamp changes. DIR may also be the "
    "directory around both, when they are called cache and archive in it."
)
ANY_SIZE_MB = 1 << 20  # budgets are those of the process that writes; a directory holds none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"Print what the L2 directory DIR and its archive hold. {READ_ONLY}"
    add_directories(parser)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def add_directories(parser: argparse.ArgumentParser) -> None:
    """The arguments that `locate` and `open_found` take."""
    parser.add_argument(
        "dir", type=Path, metavar="DIR", help="the directory of L2, or the one around it"
    )
    parser.add_argument(
        "--l3",
        type=Path,
        metavar="DIR",
        help="the directory of L3 (default: the one called archive beside L2)",
    )


def locate(directory: Path, archive: Path | None) -> tuple[Path, Path]:
    """The directories of L2 and L3 that the arguments mean.

    Raises ``FileNotFoundError`` or ``NotADirectoryError`` for what was named and is not there,
    :class:`~fastmem.workplace.OpenError` when L3 is not where it is by default.
    """
    for named in (directory, archive):
        if named is not None and not named.is_dir():
            code = errno.ENOTDIR if named.exists() else errno.ENOENT
            raise OSError(code, os.strerror(code), str(named))
    warm = directory / CACHE
    if not warm.is_dir():
        warm = directory
    cold = archive if archive is not None else warm.absolute().parent / ARCHIVE
    if not cold.is_dir():
        raise OpenError(f"{warm}: no directory {ARCHIVE} beside it; say with --l3 where L3 is")
    return warm, cold


def open_found(l2_path: Path, l3_path: Path) -> TieredMemorySystem:
    """Open two directories for looking alone. Raises as `open_memory`."""
    return open_memory(1, l2_path, l3_path, l2_size_mb=ANY_SIZE_MB, read_only=True)


def run_command(args: argparse.Namespace) -> int:
    l2_path, l3_path = locate(args.dir, args.l3)
    with open_found(l2_path, l3_path) as memory:
        stats = {tier: memory.stats()[tier] for tier in TIERS}
    for tier in stats.values():
        del tier["budget"]
    if args.json:
        print(json.dumps({"l2_path": str(l2_path), "l3_path": str(l3_path), **stats}, indent=2))
    else:
        print(f"L2  {l2_path}\nL3  {l3_path}")
        print_table("What they hold", ["", *TIERS.values()], _rows(stats))
    return 0


def _rows(stats: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row for every figure that says something: the counters of a process just begun are 0."""
    flat = {tier: dict(_flatten(stats[tier])) for tier in TIERS}
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
