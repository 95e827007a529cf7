"""``fastmem repair DIR``: keeps all that is sound, and moves the rest aside."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fastmem.holdings import add_directories, locate
from fastmem.soundness import EXIT_DAMAGED, add_key, print_damage, read_key
from fastmem.terminal import counted, untold
from fastmem.workplace import OpenError

if TYPE_CHECKING:
    from fastmem.storage.findings import Findings
    from fastmem.storage.repairing import Repaired

__all__ = ["HELP", "add_arguments", "run_command"]

HELP = "keep all of a directory that is sound, and move the rest aside"
MOST_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Make DIR sound again (the L2 of a memory together with its L3, a SegmentStore or an "
        "Archive). Sound records stay where they are. Damaged segments, value files and "
        "dictionaries, and files that are none of the store's, are copied or moved to "
        "quarantine-<time> in it: nothing is removed. Keys whose newest value is lost are missed "
        "from then on, whatever older values the log has. Refused while a process has the "
        "directory open; one that is interrupted, or killed, is finished by the next. Exit status "
        "0 when the directory is sound now, 1 when it is not, 2 when it could not be done."
    )
    add_directories(parser)
    add_key(parser)
    parser.add_argument(
        "--alone",
        action="store_true",
        help="there is no L3, where a damaged first page leaves that open",
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what there is to be repaired")
    parser.add_argument(
        "--rejoin",
        action="store_true",
        help="instead: give an L3 that was opened with another L2 back to DIR, whose it was before",
    )
    parser.add_argument(
        "--other", type=Path, metavar="DIR", help="with --rejoin: the L2 that has the L3 now"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="with --rejoin: even if older values return in the place of newer ones",
    )


def run_command(args: argparse.Namespace) -> int:
    from fastmem.storage.kinds import kind_of
    from fastmem.storage.repairing import Repair

    paths = locate(args.dir, args.l3)
    if args.rejoin:
        return _rejoin(paths, args.other, force=args.force)
    if list(paths) == ["l2"] and not args.alone and kind_of(paths["l2"]) is None:
        raise OpenError(
            f"{paths['l2']}: its first page is damaged, so nobody knows whether it has an L3, "
            "whose older values would return: say with --l3 where that is, or --alone when there "
            "is none"
        )
    key = read_key(args.key_file)
    repair = Repair(paths.get("l2"), paths.get("l3"), counted, secret_key=key)
    with untold():
        found = repair.look()
    for note in found.notes:
        print(note)
    print_damage(found)
    if found.sound and not found.notes:
        print(f"sound: {found.entries:,} entries, nothing to be repaired")
        return 0
    if args.dry_run:
        _print_plan(found)
        return 0 if found.sound else EXIT_DAMAGED
    with untold():
        done = repair.run(found)
    _print(done)
    return 0 if done.left.sound else EXIT_DAMAGED


def _rejoin(paths: dict[str, Path], other: Path | None, *, force: bool) -> int:
    from fastmem.storage.rejoining import doubts, openings, rejoin

    if len(paths) != 2:
        raise OpenError("--rejoin takes an L2 and, with --l3, the L3 that was its own")
    opens = openings(paths["l3"])
    with untold():
        found = doubts(paths["l2"], paths["l3"], other)
    for doubt in found:
        print(doubt)
    if found and not force:
        print("not rejoined; with --force it is, and older values may return")
        return EXIT_DAMAGED
    for kept in rejoin(paths["l2"], paths["l3"], opens):
        print(f"{kept.path}: copied: {kept.reason}")
    print(f"{paths['l3']} belongs to {paths['l2']} again")
    return 0


def _print_plan(found: Findings) -> None:
    print(
        f"a repair would keep {found.entries - len(found.lost) - found.unknown:,} entries; missed "
        f"then as they are now: {len(found.lost) + found.unknown:,}"
    )
    if found.rebuilt or found.index_damaged:
        print("and make a new index, which finds older values where newer ones are lost")


def _print(done: Repaired) -> None:
    from fastmem.storage.findings import key_text

    folders: dict[Path, None] = dict.fromkeys(kept.path.parent for kept in done.kept)
    for folder in folders:
        print(f"quarantine {folder}")
        for kept in done.kept:
            if kept.path.parent == folder:
                how = "copied" if kept.copied else "moved"
                print(f"  {kept.path.name}: {how}: {kept.reason}")
    for key in done.dropped[:MOST_SHOWN]:
        print(f"missed: {key_text(key)}")
    if len(done.dropped) > MOST_SHOWN:
        print(f"... and {len(done.dropped) - MOST_SHOWN:,} more")
    if done.buried:
        print(f"older values that would have returned, and will not: {done.buried:,}")
    print(f"kept: {done.entries:,} entries")
    print_damage(done.left)
    print("sound" if done.left.sound else "still damaged")
