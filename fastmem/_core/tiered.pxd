"""L1 and the log changed together. What ATOMIC means stands in writeback.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.guards cimport Guarded


cdef class TieredL1(Guarded):
    # Bytes that the entry counts, and the form of the value. A custom sizer runs here.
    cdef int64_t measured(self, object key, object value, int* form) except -1
    # ATOMIC. Takes a step that appends the draft, then holds the value in L1 as that version.
    # `encoded` may be None without a guard. Returns and raises as `_commit`.
    cdef bint commit(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, bytes encoded,
        object guard, step_t step, draft_t* draft,
    ) except -1
    # ATOMIC. Installs a clean entry, or makes sure that L1 holds no older one. True when installed.
    cdef bint hold(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        uint64_t word, uint64_t home, uint64_t stamp,
    ) except -1
    # Drops the entry on which a change was to be based that another process came before.
    cdef int let_go(self, uint32_t index) except -1
