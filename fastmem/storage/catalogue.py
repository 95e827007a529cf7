"""The archive's catalogue: what it holds, sorted by key and by time, without the values."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastmem._core.keys import decode_key, encode_key
from fastmem._core.layout import COLD_RECORD
from fastmem._core.log import Record


class CatalogueEntry(NamedTuple):
    """One archived record. Times are seconds since 1970; `deadline` None means never."""

    key: Any
    size_bytes: int
    archived: int
    deadline: float | None


class Catalogue:
    """A snapshot of an archive's heads. Columns are packed; entries are made as they are asked for.

    >>> import tempfile
    >>> from fastmem.storage import Archive
    >>> archive = Archive(tempfile.mkdtemp())
    >>> archive.update({"a/1": 1, "a/2": 2, "b/1": 3})
    >>> [entry.key for entry in archive.catalogue().with_prefix("a/")]
    ['a/1', 'a/2']
    >>> archive.close()
    """

    def __init__(self, records: Iterable[Record]) -> None:
        from sortedcontainers import SortedKeyList  # few opening an archive ask for its catalogue

        self._keys: list[bytes] = []
        self._sizes = array("Q")
        self._archived = array("I")
        self._deadlines = array("q")
        for record in records:
            if record.flags & COLD_RECORD:
                self._keys.append(record.key)
                self._sizes.append(record.raw_len)
                self._archived.append(record.archived_s)
                self._deadlines.append(record.deadline_ns)
        rows = range(len(self._keys))
        self._by_key = SortedKeyList(rows, key=self._keys.__getitem__)
        self._by_time = SortedKeyList(rows, key=self._archived.__getitem__)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[CatalogueEntry]:
        """Iterate all entries, oldest first."""
        return map(self._entry, self._by_time)

    def with_prefix(self, prefix: str | bytes) -> Iterator[CatalogueEntry]:
        """Iterate the entries whose str (or bytes) key begins with `prefix`, in key order."""
        low = encode_key(prefix)
        for row in self._by_key.irange_key(low):
            if not self._keys[row].startswith(low):
                return
            yield self._entry(row)

    def between(self, since: float, until: float) -> Iterator[CatalogueEntry]:
        """Iterate the entries archived at `since` <= time < `until` (seconds), oldest first."""
        for row in self._by_time.irange_key(since, until, inclusive=(True, False)):
            yield self._entry(row)

    def _entry(self, row: int) -> CatalogueEntry:
        deadline = self._deadlines[row]
        return CatalogueEntry(
            decode_key(self._keys[row]),
            self._sizes[row],
            self._archived[row],
            deadline / 1e9 if deadline else None,
        )
