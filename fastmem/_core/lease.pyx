"""The write lock of a log: a word that names its holder, which may be found dead.

Free is 0. A holder is named by its process slot and by how many processes had that slot before, so
that no other is ever taken for it. Whether it lives its lock on the slot's byte of `procs` tells:
the kernel frees that at death, in whatever container, and a process that is only stopped keeps it.
Nobody sleeps while he holds the lock, and nothing of Python runs then.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastmem._core.layout cimport (
    FM_PROCESSES, fm_exchange, fm_load_acquire, fm_load_flag, fm_load_settled, fm_pause,
    fm_store_flag, fm_swap_acquire,
)

cdef extern from "waiting.h" nogil:
    int64_t fm_held_byte(int fd, int64_t start, int64_t length) noexcept
    void fm_futex_wait(uint32_t* flag, uint32_t value, long nanoseconds) noexcept
    void fm_futex_wake(uint32_t* flag) noexcept

cdef enum:
    PAUSES = 200
    ROUND_NS = 1000000
    INCARNATION_BITS = 48


cdef bint acquire(lease_t* lease) noexcept nogil:
    """Take the lock, trying for some microseconds. False when it is not to be had by that, nor by
    a forked child that has no slot of its own yet.
    """
    cdef int _pause
    if lease.me == 0:
        return False
    if fm_swap_acquire(lease.word, 0, lease.me):
        return True
    if lease.processes == NULL:
        return False
    for _pause in range(PAUSES):
        fm_pause()
        if fm_load_acquire(lease.word) == 0 and fm_swap_acquire(lease.word, 0, lease.me):
            return True
    return False


cdef void release(lease_t* lease) noexcept nogil:
    """Free the lock; no system call when nobody waits.

    A full barrier, so that either the flag of who came to wait is seen here, or he sees the word.
    """
    fm_exchange(lease.word, 0)
    if fm_load_flag(lease.waiters):
        fm_store_flag(lease.waiters, 0)
        fm_futex_wake(lease.waiters)


cdef uint64_t wait_a_little(const lease_t* lease) noexcept nogil:
    """Sleep until the lock is freed, a millisecond at most. Return its holder if that is dead."""
    cdef uint64_t holder
    fm_store_flag(lease.waiters, 1)
    if fm_load_settled(lease.word) == 0:
        return 0
    fm_futex_wait(lease.waiters, 1, ROUND_NS)
    holder = fm_load_acquire(lease.word)
    if holder == 0 or lives(lease, holder):
        return 0
    return holder


cdef bint lives(const lease_t* lease, uint64_t holder) noexcept nogil:
    """True while the process that a lock word names lives, or when nobody can tell."""
    cdef uint64_t slot = holder >> INCARNATION_BITS
    cdef uint64_t incarnation = holder & ((1ULL << INCARNATION_BITS) - 1)
    if holder == lease.me:
        return True
    if slot >= FM_PROCESSES:
        return False  # a damaged word names nobody
    if fm_held_byte(lease.fd, <int64_t>slot, 1) == -1:
        return False
    # Another has its slot by now? That one notes its number before it does anything else.
    return fm_load_acquire(&lease.processes.process[slot].incarnation) == incarnation


cdef bint take_over(lease_t* lease, uint64_t holder) noexcept nogil:
    """Take the lock from a dead holder. Its work is to be finished before anything else. Not for a
    forked child that has no name for it, and would set it free.
    """
    if lease.me == 0 or not fm_swap_acquire(lease.word, holder, lease.me):
        return False
    lease.steals += 1
    return True
