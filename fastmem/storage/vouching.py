"""The pointers that a rebuild meets: whether the value files they lead to are there and whole."""

from __future__ import annotations

from fastmem._core import rebuild, scan
from fastmem._core.layout import POINTER, TIER_BIT
from fastmem._core.log import COLD, WARM, Log
from fastmem.storage.values import Pointer, ValueFiles


class Vouching:
    """Vouches for pointers, and remembers of each key the newest that it could not vouch for.

    Most of these lost nothing: the file went when the value was replaced, deleted or moved. Which
    did shows when every record has been seen.
    """

    def __init__(self) -> None:
        self._refused: dict[bytes, int] = {}

    def vouch(self, values: ValueFiles, key: bytes, pointer: bytes, version: int) -> bool:
        """True when the file of a packed pointer is there and whole. Reads all of it."""
        if values.vouch(key, pointer):
            return True
        self._refused[key] = max(self._refused.get(key, 0), version)
        return False

    def lost(self, log: Log) -> int:
        """How many keys have no record as new as that; the tombstones are to be there still."""
        return sum(rebuild.newest(log, key) < version for key, version in self._refused.items())


def pointed_to(log: Log) -> dict[int, tuple[bytes, bytes]]:
    """Key and packed pointer of each number of a value file that a record leads to. O(entries)."""
    found = {}
    for head in scan.heads(log):
        pointer = log.pointer(head.key) if head.kind == POINTER else None
        if pointer is not None:
            found[Pointer.unpack(pointer).number] = head.key, pointer
    return found


def drop_dangling(log: Log, warm: ValueFiles | None, cold: ValueFiles | None) -> None:
    """After a rebuild: a record evicted lately is found again, but its value file is gone."""
    held = {tier: set(values.numbers()) for tier, values in ((WARM, warm), (COLD, cold)) if values}
    for head in scan.heads(log):
        pointer = log.pointer(head.key) if head.kind == POINTER else None
        if pointer is None:
            continue
        if Pointer.unpack(pointer).number not in held[COLD if head.word & TIER_BIT else WARM]:
            log.remove(head.key, head.word)
