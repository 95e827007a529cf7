"""Value files as views see them: mapped once, verified then, and kept mapped for the next view.

Mapping a file and looking at all of it costs a hundred times what a view of it costs.
"""

from __future__ import annotations

from fastmem._core.windows import MappedFile, Window, window_of
from fastmem.storage.pins import Pins
from fastmem.storage.values import Pointer, ValueFiles

MOST_FILES = 1024  # a mapping each, of some 65,000 that a process may have
_TRIES = 8  # files looked at for each that is mapped


class ValueMaps:
    """The value files of one tier that are mapped: those that were viewed last, about MOST_FILES,
    and those that views keep.

    Each change is one step of a dict, so threads need no lock.
    """

    def __init__(self, values: ValueFiles, tier: int, pins: Pins) -> None:
        self._values = values
        self._tier = tier
        self._pins = pins
        self.mapped: dict[int, MappedFile] = {}  # by number, the oldest first
        self._open = True
        values.maps = self

    def find(self, body: bytes) -> MappedFile | None:
        """Return the file that the body of a record leads to, None when it has to be read."""
        number = Pointer.unpack(body).number
        mapped = self.mapped.get(number)
        if mapped is None or mapped.body == body:
            return mapped
        self.drop(number)  # another file bears the number now
        return None

    def read(self, key: bytes, body: bytes) -> tuple[MappedFile, Window]:
        """Map a value file and verify its checksum. Raises as `ValueFiles.read` does.

        It is nobody's yet: `keep` it or let it go.
        """
        pointer = Pointer.unpack(body)
        mapping, start = self._values.map(key, pointer)
        window = window_of(mapping, start, pointer.length)
        try:
            sound = window.digest() == pointer.checksum
        except OSError:  # it was cut since
            sound = False
        if not sound:
            raise self._values.damaged(pointer, start)
        return MappedFile(mapping, start, pointer.length, body), window

    def keep(self, mapped: MappedFile) -> None:
        """Keep a file mapped that was found to be sound."""
        number = Pointer.unpack(mapped.body).number
        if self.mapped.setdefault(number, mapped) is not mapped:
            return  # another thread was at it too
        # Now that others can find it: whoever closed or unlinked before that has not.
        if not self._open:
            self.close()
        elif self._values.is_gone(number):
            self.drop(number)
        for _ in range(_TRIES):
            self._see_to_oldest()

    def _see_to_oldest(self) -> None:
        """Let go of the file mapped first, if there are too many and it has no views, or if another
        process has unlinked it; else it becomes the newest.
        """
        number = next(iter(self.mapped), None)
        mapped = None if number is None else self.mapped.pop(number, None)
        if number is None or mapped is None:
            return
        if len(self.mapped) >= MOST_FILES and not mapped.mapping.viewed:
            mapped.mapping.close()
        elif self.mapped.setdefault(number, mapped) is mapped and self._values.is_gone(number):
            self.drop(number)  # perhaps while it was out of the table

    def drop(self, number: int) -> None:
        """Forget a file that is gone: unmapped, or counted as pinned while it has views."""
        mapped = self.mapped.pop(number, None)
        if mapped is not None:
            self._pins.retire(self._tier, mapped.mapping)

    def drop_gone(self) -> None:
        """Forget all files that are gone, whoever unlinked them. O(files mapped)."""
        for number in list(self.mapped):
            if self._values.is_gone(number):
                self.drop(number)

    def close(self) -> None:
        """Unmap all, those with views when the last one is released. Idempotent."""
        self._open = False
        while self.mapped:
            try:
                _number, mapped = self.mapped.popitem()
            except KeyError:  # another thread took the last one
                return
            mapped.mapping.close()


__all__ = ["MOST_FILES", "ValueMaps"]
