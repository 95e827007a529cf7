"""`get_many`, `put_many` and `delete_many`: many keys, each in a step of its own."""

import reprlib
from collections.abc import Mapping
from itertools import islice

from libc.stdint cimport int64_t, uint32_t

from fastmem._core.cache cimport used
from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.entries cimport lookup_live
from fastmem._core.table cimport CAUSE_DELETED, Displaced

from fastmem._core.cache import MISSING

cdef object MISS = MISSING


def keys_of(keys):
    """The keys of a bulk verb; ``TypeError`` for one str or bytes, which is hardly meant."""
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"keys must be an iterable of keys, not one {type(keys).__name__}")
    return keys


def pairs_of(pairs):
    """The pairs of a bulk verb, out of a mapping or an iterable of pairs."""
    return pairs.items() if isinstance(pairs, Mapping) else pairs


def name_pair(error, number, key):
    """Note on what one pair of a bulk verb raised, before any was put, which pair it was.

    A key that cannot be written must not raise in place of that.
    """
    try:
        named = reprlib.repr(key)
    except Exception:
        named = f"<{type(key).__name__}>"
    error.add_note(f"put_many: pair {number}, of the key {named}, is refused; nothing is put")


cdef class BulkVerbs(RemovalVerbs):
    """What a cache does with many keys in one call."""

    def get_many(self, keys, /):
        """A dict of those of `keys` that are there, each found as by ``get``. O(keys).

        A miss is a key that the dict lacks; a stored ``None`` is in it. ``TypeError`` for a str or
        bytes in place of the iterable.

        >>> from fastmem import L1Cache
        >>> cache = L1Cache(1_000_000)
        >>> cache.put_many({"a": 1, "b": None})
        >>> cache.get_many(["a", "b", "c"])
        {'a': 1, 'b': None}
        """
        cdef dict found = {}
        self.require_open()
        drawn = iter(keys_of(keys))
        while some := list(islice(drawn, MOST_FORESEEN)):
            self.foresee(some)
            for key in some:
                self.read_into(found, key)
        return found

    cdef int foresee(self, list keys) except -1:
        return 0

    cdef int read_into(self, dict found, object key) except -1:
        cdef uint32_t index = lookup_live(self, key)
        if index:
            value = <object>used(self, index)
        else:
            value = self.miss(key)
            if value is MISS:
                return 0
        found[key] = value
        return 0

    def put_many(self, pairs, /, ttl_seconds=None):
        """Stores every pair of a mapping or of an iterable of pairs as ``put`` does. O(pairs).

        All pairs are drawn, hashed and measured before the first is stored: what the iterable, a
        ``__hash__`` or a sizer raise, a bad ttl and ``ValueTooLargeError`` leave everything as it
        was, and a note on the exception names the pair. Then pair after pair is stored, each in one
        step; only a key's ``__eq__``, a listener's interrupt or ``MemoryError`` can end that early,
        and a note on the exception says how many pairs are stored.
        """
        cdef Displaced out = [0, 0, 0]
        cdef int64_t size, deadline, ttl = ttl_ns(ttl_seconds)
        cdef list measured = []
        self.require_open()
        for key, value in pairs_of(pairs):
            try:
                hash(key)
                size = self.entry_size(key, value)
                self.require_room(size)
            except Exception as error:
                name_pair(error, len(measured) + 1, key)
                raise
            measured.append((key, value, size))
        deadline = deadline_after(ttl)
        stored = 0
        try:
            for key, value, size in measured:
                self.install(key, value, size, deadline, 0, 0, &out)
                stored += 1
                self.release(&out)
        except BaseException as error:
            error.add_note(f"put_many stored {stored} of {len(measured)} pairs")
            raise

    def delete_many(self, keys, /):
        """Removes every one of `keys`, each in one step, and returns how many were there. O(keys).

        All keys are drawn and hashed before the first is removed; ``TypeError`` for a str or bytes
        in place of the iterable.
        """
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index
        cdef int64_t count = 0
        cdef list wanted = list(keys_of(keys))
        self.require_open()
        for key in wanted:
            hash(key)
        for key in wanted:
            index = self.find_doomed(key)
            if index:
                self.discard_at(index, CAUSE_DELETED, &out)
                count += 1
                self.release(&out)
        return count
