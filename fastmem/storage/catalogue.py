"""The archive's catalogue: what it holds, sorted by key and by time, without the values."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from fastmem._core.keys import decode_key, encode_key
from fastmem._core.layout import COLD_RECORD
from fastmem._core.log import Record
from fastmem.entries import TierKey


class CatalogueEntry(NamedTuple):
    """One archived record. Times are seconds since 1970.

    `size_bytes` is the encoded value before compression; `archived_s` when its record was written
    to the archive, whole seconds; `deadline_s` None means never.
    """

    key: TierKey
    size_bytes: int
    archived_s: int
    deadline_s: float | None


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
        self._archived_s = array("I")
        self._deadlines_ns = array("q")
        for record in records:
            if record.flags & COLD_RECORD:
                self._keys.append(record.key)
                self._sizes.append(record.raw_len)
                self._archived_s.append(record.archived_s)
                self._deadlines_ns.append(record.deadline_ns)
        rows = range(len(self._keys))
        self._by_key = SortedKeyList(rows, key=self._keys.__getitem__)
        self._by_time = SortedKeyList(rows, key=self._archived_s.__getitem__)

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
        deadline_ns = self._deadlines_ns[row]
        return CatalogueEntry(
            decode_key(self._keys[row]),
            self._sizes[row],
            self._archived_s[row],
            deadline_ns / 1e9 if deadline_ns else None,
        )

    def check(self) -> list[str]:
        """Return what is wrong with the columns and their orders, as sentences."""
        problems = []
        rows = len(self._keys)
        columns = (self._sizes, self._archived_s, self._deadlines_ns, self._by_key, self._by_time)
        lengths = [len(column) for column in columns]
        if any(length != rows for length in lengths):
            problems.append(f"a catalogue of {rows} keys has columns of {lengths}")
            return problems
        for name, order, column in (
            ("key", self._by_key, self._keys),
            ("time", self._by_time, self._archived_s),
        ):
            if sorted(order) != list(range(rows)):
                problems.append(f"the order by {name} does not name each of {rows} rows once")
            elif any(column[one] > column[next_] for one, next_ in pairwise(order)):
                problems.append(f"the order by {name} is none")
        if len(set(self._keys)) != rows:
            problems.append(
                f"{rows - len(set(self._keys))} keys of the catalogue stand there twice"
            )
        return problems
