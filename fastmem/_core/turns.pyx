"""Waiting for the write lock, and taking it from a process that died with it."""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t
from fastmem._core.clock cimport boot_now_ns
from fastmem._core.faults cimport guarded, peek
from fastmem._core.layout cimport FM_GONE, FM_HEADER_UNITS, fm_record, fm_store_release
from fastmem._core.lease cimport lease_t, release, take_over, wait_a_little
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport log_t
from fastmem._core.needs cimport NEED_OVERFLOW
from fastmem._core.record cimport void_record
from fastmem._core.recovery cimport finish
from fastmem._core.shelter cimport raise_fault
from fastmem._core.tiers cimport (
    COLD, WARM, is_mapped, locate_at, place_t, segment_begin, tail_likely, tier_t,
)

from fastmem.errors import StoreError, StoreTimeoutError

ctypedef struct turn_t:
    log_t* log
    uint64_t dead   # who held the lock when he died; 0: nobody
    int64_t redone  # see `finish`
    int need

ctypedef struct doze_t:
    lease_t lease   # as it was, with the GIL
    uint64_t dead


def wait_for_lock(Log log not None, int64_t timeout_ns):
    """Return when the write lock was seen free, or a dead holder's work has been finished: the
    number of records that were redone then.

    It releases the GIL. StoreTimeoutError, and nothing has changed, when one who lives, but was
    stopped perhaps, has held it for all of `timeout_ns`; and when somebody has removed the segment
    that a dead one's work is in.
    """
    cdef lease_t* lease = &log.state.lease
    cdef int64_t until = boot_now_ns() + timeout_ns
    cdef doze_t one
    cdef uint64_t first, holder, fault
    log.require_open()  # first of all: another thread's close has unmapped the word
    first = load(log, lease.word)
    if lease.processes == NULL:
        raise RuntimeError(f"write lock held by {first:#x}: {log.path!r}")
    lease.waits += 1
    while True:
        # A close by another thread must not unmap what is looked at, nor change where that is.
        pages = memoryview(log.sup_map), memoryview(log.processes), log.procs
        one.lease = lease[0]
        with nogil:
            fault = guarded(doze, &one)
        for page in pages[:2]:
            page.release()
        PyErr_CheckSignals()
        log.require_open()
        if fault:
            log.state.faults += 1
            raise_fault(log, fault)
        if one.dead:
            return succeed(log, one.dead)
        holder = load(log, lease.word)
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
    cdef turn_t turn
    cdef int which
    cdef uint64_t tails[2]
    while True:
        log.keeper.learn_room()  # or an index that it saw grow seems damaged
        log.require_open()
        for which in range(2):  # while it is dead they move no more
            tails[which] = load(log, log.state.tier[which].tail)
            if log.state.tier[which].segment_bytes and not is_mapped(
                &log.state.tier[which], tails[which]
            ):
                require_tail(log, which, tails[which], dead)
        turn = turn_t(&log.state, dead, 0, 0)
        log.attempt(take, &turn)
        if not turn.dead:
            return 0
        if tails[WARM] != load(log, log.state.tier[WARM].tail) or (
            tails[COLD] != load(log, log.state.tier[COLD].tail)
        ):
            log.attempt(give_back, &turn)
            continue
        finish_guarded(&turn)
        if turn.need == NEED_OVERFLOW:  # never applied, so nobody was told that it is done
            log.attempt(void_tail, &log.state.tier[WARM])
            finish_guarded(&turn)
        if turn.redone >= 0 and not turn.need:
            log.vouch_for_tails()  # it may have moved a tail and not said so
            log.attempt(let_go, &turn)
            return turn.redone
        log.attempt(give_back, &turn)
        if turn.redone < 0:
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
    if load(log, log.state.lease.word) == dead:  # else somebody succeeds it, and goes on
        raise log.keeper.missing(which, number)
    return 0


cdef void finish_guarded(turn_t* turn) noexcept nogil:
    """A page that is missing makes no sense either."""
    if guarded(finish_work, turn):
        turn.log.faults += 1
        turn.redone = -1


cdef uint64_t load(Log log, const uint64_t* word) except? 1:
    cdef uint64_t value = peek(word)
    if value == FM_GONE:
        log.state.faults += 1
        raise_fault(log, <uint64_t>word)
    return value


# -- work for a guard ----------------------------------------------------------------------------


cdef void doze(void* facts) noexcept nogil:
    cdef doze_t* one = <doze_t*>facts
    one.dead = wait_a_little(&one.lease)


cdef void take(void* facts) noexcept nogil:
    cdef turn_t* turn = <turn_t*>facts
    if not take_over(&turn.log.lease, turn.dead):
        turn.dead = 0


cdef void finish_work(void* facts) noexcept nogil:
    cdef turn_t* turn = <turn_t*>facts
    cdef const tier_t* tier = turn.log.tier
    if tail_likely(&tier[WARM]) and tail_likely(&tier[COLD]):
        turn.redone = finish(turn.log, &turn.need)
    else:
        turn.redone = -1


cdef void give_back(void* facts) noexcept nogil:
    cdef turn_t* turn = <turn_t*>facts
    fm_store_release(turn.log.lease.word, turn.dead)


cdef void let_go(void* facts) noexcept nogil:
    release(&(<turn_t*>facts).log.lease)


cdef void void_tail(void* facts) noexcept nogil:
    cdef const tier_t* tier = <tier_t*>facts
    cdef place_t place
    if locate_at(tier, tier.tail[0], &place):
        void_record(<fm_record*>place.record)
