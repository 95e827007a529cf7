"""The names in a directory whose files are known to survive power loss."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fastmem.storage.files import Directory

# An index is made anew after a power loss, and first pages are recovered.
_NAME = re.compile(r"(?:seg|cold|dict)\.\d{1,18}|val\.[0-9a-f]{16}")


class Surviving:
    """What this process knows of one directory, whoever wrote there: a process before this one,
    or a copy of the files, may not have waited for the device. So at first nothing is known.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._names: set[str] = set()
        self._as_of: tuple[int, int] | None = None

    def note(self, name: str) -> None:
        """A file was written, named and synced here."""
        self._names.add(name)

    @property
    def known(self) -> bool:
        """True once all that was found has been synced."""
        return self._as_of is not None

    def sync(self, changes: tuple[int, int], wanted: Iterable[str], *, again: bool) -> None:
        """Make what is new survive: value files and dictionaries with their bytes, and all names.
        Bytes of new segments only the first time: after that they are synced where they are new.

        `changes` tells, if it is what it was, that no file is new; but for `wanted`, segments that
        must be there. `again`: the device may have refused the bytes before.
        """
        first = self._as_of is None
        if changes == self._as_of and self._names.issuperset(wanted):
            return
        there = {name for name in self._directory.names() if _NAME.fullmatch(name)}
        new = there - self._names
        for name in sorted(new):
            if first or not name.startswith(("seg.", "cold.")):
                self._directory.sync_file(name, again=again and name.startswith("val."))
        if new or first:
            self._directory.sync()
        self._names.intersection_update(there)
        self._names |= new
        self._as_of = changes

    def forget(self) -> None:
        """Know nothing any more."""
        self._names.clear()
        self._as_of = None
