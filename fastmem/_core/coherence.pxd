"""L1 over a log that other processes change too: which entries are still what the log has.

A slot store that puts or deletes raises the version of the key's home bucket, and one that moves a
record does not (index.pyx). So an entry that remembers the version which its bucket had before its
record was found, its *stamp*, is what a look at the log would find while the bucket has that
version: a load and a comparison. When that has changed, perhaps for the sake of another key, the
entry is current while the chain still holds its word, for no address is used twice. Else it leaves.

A stamp is taken before the slot is read, and noted only if the bucket is at rest and the record is
still current when the value is installed (`stamp_of`, `_admit`); or, by a put, under the write lock
when all is applied, so that whatever comes right after is seen. Versions have 64 bits and rise by
two: they do not come round. After a split of the bucket the old one's version has changed, and the
entry finds its word there no more, or still.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.appending cimport draft_t
from fastmem._core.l1 cimport L1Cache
from fastmem._core.log cimport Log


cdef class Coherent(L1Cache):
    cdef readonly Log _log
    cdef object pins                # of the maps that stamps are compared with
    cdef public uint32_t _epoch     # see is_fresh; tests set it
    cdef int64_t epoch_began
    cdef int64_t max_stale_ns       # 0: each hit compares
    cdef readonly uint64_t _invalidations

    # Once, before first use: from now on, while the log is shared, a hit whose last comparison is
    # older than `max_stale_ns` compares.
    cdef int follow(self, Log log, int64_t max_stale_ns) except -1
    # ATOMIC, all below. Notes the stamp of a live entry, or that it has none.
    cdef void note_stamp(self, uint32_t index, uint64_t home, uint64_t version) noexcept
    # Whether the live entry is what the log has at this moment.
    cdef bint is_outdated(self, uint32_t index) except -1
    # Has a step look once more, under the lock, at what `guard` (see `allows`) was told.
    cdef void bind(self, draft_t* draft, object guard) noexcept
