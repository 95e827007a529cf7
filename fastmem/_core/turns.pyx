"""Waiting for the write lock, and taking it from a process that died with it."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t
from fastmem._core.clock cimport boot_now_ns
from fastmem._core.layout cimport FM_HEADER_UNITS, fm_load_acquire, fm_record, fm_store_release
from fastmem._core.lease cimport lease_t, release, take_over, wait_a_little
from fastmem._core.log cimport Log
from fastmem._core.needs cimport NEED_OVERFLOW
from fastmem._core.record cimport void_record
from fastmem._core.recovery cimport finish
from fastmem._core.tiers cimport (
    COLD, WARM, is_mapped, locate_at, place_t, segment_begin, tail_likely, tier_t,
)

from fastmem.errors import StoreError, StoreTimeoutError


def wait_for_lock(Log log not None, int64_t timeout_ns):
    """Return when the write lock was seen free, or a dead holder's work has been finished: the
    number of records that were redone then.

    It releases the GIL. StoreTimeoutError, and nothing has changed, when one who lives, but was
    stopped perhaps, has held it for all of `timeout_ns`; and when somebody has removed the segment
    that a dead one's work is in.
    """
    cdef lease_t* lease = &log.state.lease
    cdef lease_t seen
    cdef int64_t until = boot_now_ns() + timeout_ns
    cdef uint64_t dead, first, holder
    log.require_open()  # first of all: another thread's close has unmapped the word
    first = fm_load_acquire(lease.word)
    if lease.processes == NULL:
        raise RuntimeError(f"write lock held by {first:#x}: {log.path!r}")
    lease.waits += 1
    while True:
        # A close by another thread must not unmap what is looked at, nor change where that is.
        pages = memoryview(log.sup_map), memoryview(log.processes), log.procs
        seen = lease[0]
        with nogil:
            dead = wait_a_little(&seen)
        for page in pages[:2]:
            page.release()
        PyErr_CheckSignals()
        log.require_open()
        if dead:
            return succeed(log, dead)
        holder = fm_load_acquire(lease.word)
        if holder == 0 or holder != first:
            return 0
        if boot_now_ns() > until:
            raise StoreTimeoutError(
                f"the process in slot {holder >> 48} has had the write lock for "
                f"{timeout_ns / 1e9:.3g} s and lives; is it stopped?",
                log.path,
            )


cdef object succeed(Log log, uint64_t dead):
    """Finish the work of a dead holder and free the lock, unless somebody else does."""
    cdef lease_t* lease = &log.state.lease
    cdef int64_t redone
    cdef int need = 0
    cdef int which
    cdef uint64_t tails[2]
    while True:
        log.keeper.learn_room()  # or an index that it saw grow seems damaged
        log.require_open()
        for which in range(2):  # while it is dead they move no more
            tails[which] = fm_load_acquire(log.state.tier[which].tail)
            if log.state.tier[which].segment_bytes and not is_mapped(
                &log.state.tier[which], tails[which]
            ):
                require_tail(log, which, tails[which], dead)
        if not take_over(lease, dead):
            return 0
        if not same(log.state.tier, tails):
            fm_store_release(lease.word, dead)
            continue
        if not (tail_likely(&log.state.tier[WARM]) and tail_likely(&log.state.tier[COLD])):
            redone = -1
        else:
            redone = finish(&log.state, &need)
        if need == NEED_OVERFLOW:  # never applied, so nobody was told that it is done
            void_tail(&log.state.tier[WARM])
            redone = finish(&log.state, &need)
        if redone >= 0 and not need:
            log.vouch_for_tails()  # it may have moved a tail and not said so
            release(lease)
            return redone
        fm_store_release(lease.word, dead)
        if redone < 0:
            raise StoreError(
                "a process died with the write lock, and what it left makes no sense; close "
                "the store in all processes, and open it again",
                log.path,
            )
        log.keeper.require_mapped()


cdef int require_tail(Log log, int which, uint64_t tail, uint64_t dead) except -1:
    """Map a tail's segment, or know that nothing was written to it so far."""
    cdef const tier_t* tier = &log.state.tier[which]
    cdef uint64_t number = tail >> tier.shift
    mapped = log.keeper.map_segment(which, number)
    log.require_open()
    if mapped or tail <= segment_begin(tier, tail) + FM_HEADER_UNITS:
        return 0
    if fm_load_acquire(log.state.lease.word) == dead:  # else somebody succeeds it, and goes on
        raise log.keeper.missing(which, number)
    return 0


cdef bint same(const tier_t* tiers, const uint64_t* tails) noexcept nogil:
    return tails[WARM] == tiers[WARM].tail[0] and tails[COLD] == tiers[COLD].tail[0]


cdef void void_tail(const tier_t* tier) noexcept nogil:
    cdef place_t place
    if locate_at(tier, tier.tail[0], &place):
        void_record(<fm_record*>place.record)
