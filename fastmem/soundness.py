"""``fastmem check DIR``: reads all of a directory, tells what is damaged and what that costs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fastmem.holdings import READ_ONLY, add_directories, locate
from fastmem.terminal import counted, unseen, untold
from fastmem.workplace import OpenError

if TYPE_CHECKING:
    from fastmem.storage.findings import Findings

__all__ = [
    "EXIT_DAMAGED",
    "HELP",
    "add_arguments",
    "add_key",
    "print_damage",
    "read_key",
    "run_command",
]

HELP = "read all of a directory, and tell what is damaged"
EXIT_DAMAGED = 1
MOST_SHOWN = 20
REBUILT = (
    "the index is not to be trusted (a restart, a copy, damage, a death under the lock): checked "
    "with one made from the log"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read all of DIR (the L2 of a memory together with its L3, a SegmentStore or an Archive): "
        "first pages, segments, every record and value to the last byte, dictionaries, the index "
        "against the log, and what is counted. Print file and offset of what is damaged, and what "
        "it costs. Exit status 0 when it is sound, 1 when it is damaged, 2 when it cannot be "
        f"opened, as one that a process has open for writing. {READ_ONLY}"
    )
    add_directories(parser)
    add_key(parser)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def add_key(parser: argparse.ArgumentParser) -> None:
    """The argument that `read_key` takes."""
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="a file that holds the secret_key, all of it"
    )


def read_key(path: Path | None) -> bytes | None:
    """The secret key in a file. OSError; OpenError for what cannot be one."""
    if path is None:
        return None
    key = path.read_bytes()
    if not 16 <= len(key) <= 64:
        raise OpenError(f"{path}: a secret_key has 16 to 64 bytes, not {len(key):,}")
    return key


def run_command(args: argparse.Namespace) -> int:
    from fastmem.storage.checking import Check

    paths = locate(args.dir, args.l3)
    draw = unseen if args.json else counted
    key = read_key(args.key_file)
    with untold():
        found = Check(paths.get("l2"), paths.get("l3"), draw, secret_key=key).run()
    if args.json:
        print(json.dumps(_told(paths, found), indent=2))
    else:
        _print(found)
    return 0 if found.sound else EXIT_DAMAGED


def _told(paths: dict[str, Path], found: Findings) -> dict[str, object]:
    return {
        **{f"{tier}_path": str(path) for tier, path in paths.items()},
        "sound": found.sound,
        "index": "rebuilt" if found.rebuilt else "trusted",
        "records": found.records,
        "entries": found.entries,
        "missed_keys": len(found.lost) + found.unknown,
        "damage_count": len(found.damage),
        "damage": [finding.as_dict() for finding in found.damage[:1_000]],
        "notes": found.notes,
    }


def _print(found: Findings) -> None:
    if found.rebuilt:
        print(REBUILT)
    for note in found.notes:
        print(note)
    print_damage(found)
    print(f"{found.records:,} whole records in the log, {found.entries:,} entries")
    if found.sound:
        print("sound")
    else:
        missed = len(found.lost) + found.unknown
        print(f"damaged: places {len(found.damage):,}, entries that are missed {missed:,}")


def print_damage(found: Findings) -> None:
    """Print what is damaged, as much of it as anybody reads."""
    for finding in found.damage[:MOST_SHOWN]:
        print(finding)
    rest = len(found.damage) - MOST_SHOWN
    if rest > 0:
        print(f"... and {rest:,} more (--json shows 1,000)")
