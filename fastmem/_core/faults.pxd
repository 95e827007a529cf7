"""Faults under mappings; faults.h says how. Nothing here needs the GIL."""

from libc.stdint cimport uint64_t
from fastmem._core.layout cimport FM_PEEKS, fm_peek

# What touches mapped bytes. C alone: no Python, no allocation, no lock.
ctypedef void (*work_t)(void* facts) noexcept nogil

# Do the work. 0 when it is done, or the address of the page fault that ended it: what it had
# changed by then stays changed.
cdef uint64_t guarded(work_t work, void* facts) noexcept nogil
# The same for two pieces of work, of one guard. In between, unguarded and with the GIL that the
# caller has, `between` does what needs Python, and says whether there is a second.
cdef uint64_t guarded_pair(
    work_t first, bint (*between)(void* facts) noexcept, work_t second, void* facts
) noexcept
# Of which bytes a fault is ours, from a mapping to right before it is unmapped. False: no memory.
cdef bint watch(const void* base, size_t size) noexcept nogil
cdef void unwatch(const void* base) noexcept nogil
# Have SIGBUS come to us first, whoever has installed what since.
cdef void stay() noexcept nogil

# The rest of `peek`.
cdef uint64_t load_guarded(const uint64_t* word) noexcept nogil


cdef inline uint64_t peek(const uint64_t* word) noexcept nogil:
    """A mapped word, acquired; FM_GONE where its page is missing."""
    return fm_peek(word) if FM_PEEKS else load_guarded(word)
