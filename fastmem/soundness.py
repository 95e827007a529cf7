"""``fastmem verify DIR``: reads every record of a directory, and names each that is damaged."""

from __future__ import annotations

import argparse

from fastmem.errors import CorruptRecordError
from fastmem.holdings import READ_ONLY, add_directories, locate, open_found

__all__ = ["HELP", "add_arguments", "run_command"]

HELP = "read every record of a directory, and name each that is damaged"
EXIT_DAMAGED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read every record of DIR (the L2 of a memory together with its L3, a SegmentStore or an "
        "Archive) to the last byte, with its checksums, and print file and offset of each that is "
        "damaged. Exit status 0 when nothing is, 1 when something is. Signatures (secret_key=) are "
        f"not looked at. {READ_ONLY}"
    )
    add_directories(parser)


def run_command(args: argparse.Namespace) -> int:
    damaged = 0

    def tell(error: CorruptRecordError) -> None:
        nonlocal damaged
        damaged += 1
        print(f"{error.filename}: {error.strerror}")

    with open_found(locate(args.dir, args.l3)) as store:
        records = store.verify(on_corrupt=tell)
        stats = store.stats()
    tiers = [stats[name] for name in ("l2", "l3")] if "l2" in stats else [stats]
    dropped = sum(tier["errors"]["dropped"] for tier in tiers)
    if dropped:  # the index was not to be trusted, and to make it anew passes over what is damaged
        print(f"damaged places whose records, if any, are gone: {dropped:,}")
    print(f"records: {records:,} read, {damaged:,} damaged")
    return EXIT_DAMAGED if damaged or dropped else 0
