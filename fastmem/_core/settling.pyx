"""Records of the oldest warm segment that are plain, in a store without an archive: passed, moved
on to the tail, or taken out, without an object for each.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.index cimport cursor_t, tag_of
from fastmem._core.layout cimport FM_SEAL, FM_UNIT, FM_VALUE
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, expired, find_word, is_touched, log_t, take_touched
from fastmem._core.moves cimport forward, remove
from fastmem._core.needs cimport DONE, STALE
from fastmem._core.passing cimport KeyFilter, needs_nothing
from fastmem._core.record cimport body_valid, key_of, record_units
from fastmem._core.tiers cimport WARM, locate_at, place_t, segment_end, valid

from fastmem._core.log import LogNeeds


cdef class Credit:
    """How many bytes of live records reclaim may move, which frees nothing.

    All that does not move pays for what was read lately, so a long stretch of it moves whole, yet a
    log that is all live comes free by half. What was not read moves only where something else is to
    be had instead: dead records pay for it, twice, for there are more of them ahead. The last
    quarter is for what was read lately.
    """

    cdef readonly int64_t most
    cdef readonly int64_t left
    cdef readonly int64_t left_for_unread

    def __init__(self, int64_t most):
        self.most = self.left = self.left_for_unread = most

    cpdef void earn(self, int64_t length, bint dead) noexcept:
        self.left = min(self.left + length, self.most)
        if dead:
            self.left_for_unread = min(self.left_for_unread + 2 * length, self.most)

    cpdef bint covers(self, int64_t length, bint read_lately) noexcept:
        if read_lately:
            return length <= self.left
        return length <= min(self.left_for_unread, self.left - self.most // 4)

    cpdef void spend(self, int64_t length, bint read_lately) noexcept:
        self.left -= length
        if not read_lately:
            self.left_for_unread -= length


def settle_plain(
    Log log not None, uint64_t at, uint64_t most_units, Credit credit not None,
    KeyFilter dead not None, list dropped,
):
    """Return where the first record from `at` on lies that wants more than this (or the segment's
    end, or what lies `most_units` on), and how many values were taken out.

    What needs nothing is passed, its key added to `dead`. What is live moves to the tail if
    `credit` covers it. Else its key is removed, and noted in `dropped`, where that is not None.
    Call it under the engine's lock.
    """
    cdef log_t* state = &log.state
    cdef uint64_t end = segment_end(&state.tier[WARM], at)
    cdef uint64_t until = min(end, at + most_units)
    cdef int64_t length
    cdef Py_ssize_t gone = 0
    cdef bint read_lately
    cdef place_t place
    cdef cursor_t cursor
    cdef draft_t draft
    log.require_open()
    while at < until and locate_at(&state.tier[WARM], at, &place) and valid(&place):
        if place.record.kind == FM_SEAL:
            break
        draft.key, draft.head.klen = key_of(place.record), place.record.klen
        draft.digest = digest_of(state, draft.key, draft.head.klen)
        draft.passed = at + record_units(place.record, at)
        length = (draft.passed - at) * FM_UNIT
        if needs_nothing(state, &place, draft.digest):
            dead.note(draft.digest)
            credit.earn(length, True)
            at = draft.passed
            continue
        if place.record.kind != FM_VALUE:
            break
        draft.expected = tag_of(&state.index, draft.digest) | at
        if not find_word(state, draft.digest, draft.expected, &cursor):
            break  # replaced just now
        if expired(state, place.record) or not body_valid(place.record, at):
            break
        read_lately = is_touched(state, draft.digest)
        if credit.covers(length, read_lately):
            if not take(log, forward, &draft):
                break
            credit.spend(length, read_lately)
            take_touched(state, draft.digest)
        else:
            if not take_out(log, &draft, dropped):
                break
            credit.earn(length, False)
            gone += 1
        at = draft.passed
    return at, gone


cdef bint take(Log log, step_t step, draft_t* draft) except -1:
    """False when it was too late for a step, or it needs what only the long way gives."""
    cdef int outcome = STALE
    try:
        outcome = log.take(step, draft)
    except LogNeeds:
        pass
    return outcome == DONE


cdef bint take_out(Log log, draft_t* draft, list dropped) except -1:
    cdef bint done
    if dropped is not None:  # first: it may need memory
        dropped.append(PyBytes_FromStringAndSize(draft.key, draft.head.klen))
    done = take(log, remove, draft)
    if dropped is not None and not done:
        dropped.pop()
    return done
