"""The write lock of a log: a word that names its holder, which may be found dead."""

from libc.stdint cimport uint32_t, uint64_t
from fastmem._core.layout cimport fm_processes

ctypedef struct lease_t:
    uint64_t* word            # slot:16 | incarnation:48 of the holder, 0 = free
    uint32_t* waiters
    uint64_t me               # 0 in a forked child
    fm_processes* processes   # NULL while this process has no slot: then nobody else has one
    int fd                    # of `procs`; its byte locks tell who lives
    # Counts.
    uint64_t waits
    uint64_t steals

cdef bint acquire(lease_t* lease) noexcept nogil
cdef void release(lease_t* lease) noexcept nogil
cdef uint64_t wait_a_little(const lease_t* lease) noexcept nogil
cdef bint lives(const lease_t* lease, uint64_t holder) noexcept nogil
cdef bint take_over(lease_t* lease, uint64_t holder) noexcept nogil
