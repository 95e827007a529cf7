"""Value files that no record leads to: their writer died before it could append one.

One of the parts of StoreFiles (the map is in opening.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastmem.errors import FormatError
from fastmem.storage.sharing import SharedFiles
from fastmem.storage.values import UNREADABLE, Pointer, ValueFiles
from fastmem.storage.vouching import pointed_to

log_to = logging.getLogger("fastmem.storage")


class OrphanFiles(SharedFiles):
    """The part of StoreFiles that tells orphans and removes them."""

    def remove_orphans(self, pass_lock: Callable[[], None]) -> None:
        """Remove value files that no record leads to: their writer died before it could.

        `pass_lock` takes the write lock and gives it back: the record of one that died with it is
        found only when that is done (see `Log.pass_lock`). Who dies later has his turn later.
        If anything was ever synced, the record that it led to may come back with a power loss, so
        the file stays until what replaced that record, or the head it left with, is synced too.
        """
        if self.detached:  # its L2 may know better
            return
        left = [
            (values, [number for number in values.numbers() if not self.is_anothers(number)])
            for values in (self.warm_values, self.cold_values)
            if values is not None
        ]
        pass_lock()
        for values, numbers in left:
            for number in numbers:
                if self.is_orphan(values, number):
                    values.doom(number, self.ends if self.ever_synced else (0, 0))
            if values.doomed and self.ever_synced and not self.other_boot:
                self.super.sync()
            values.reap(self.synced)

    @property
    def ends(self) -> tuple[int, int]:
        """The tails of the warm and of the cold log."""
        return self.super.get("tail"), self.super.get("cold_tail")

    @property
    def synced(self) -> tuple[int, int]:
        """Up to where the warm and the cold log are synced."""
        return self.super.get("synced"), self.super.get("cold_synced")

    @property
    def ever_synced(self) -> bool:
        return any(self.super.get(field) for field in ("synced", "cold_synced"))

    def take_over(self, values: ValueFiles) -> bool:
        """Doom the value files that other processes wait to unlink: they may rest, and their files
        take room. True when there were some. Under the lock.

        A mark alone is no proof: after a power loss a record may be back. Nor is it that no record
        leads to a file: its writer, who has not marked it, may be about to append one.
        """
        if self.detached or not self.log.shared:
            return False
        left = [number for number in values.marked() if self.is_orphan(values, number)]
        for number in left:
            values.doom(number, self.ends)
        return bool(left)

    def is_orphan(self, values: ValueFiles, number: int) -> bool:
        """True when no record leads to a value file. Expired records count as gone.

        One that cannot be read is none: it stays for whoever mends the device.
        """
        try:
            key = values.key_of(number)
        except FormatError as error:  # not ours to remove
            log_to.warning("%s", error)
            return False
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            log_to.warning("%s: value file %016x: %s", values.directory.path, number, error)
            return False
        if key is None:  # whose it is, the record tells then, if there is one
            return number not in pointed_to(self.log)
        return not self.leads_to(key, number)

    def leads_to(self, key: bytes, number: int) -> bool:
        """True when a key's record is the pointer to value file `number`."""
        pointer = self.log.pointer(key)
        return pointer is not None and Pointer.unpack(pointer).number == number

    # Of StoreFiles.

    @property
    def detached(self) -> bool:
        raise NotImplementedError
