"""Records of the oldest warm segment that are plain, in a store without an archive: passed, moved
on to the tail, or taken out, without an object for each.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport cursor_t, tag_of
from fastmem._core.layout cimport FM_SEAL, FM_UNIT, FM_VALUE
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_bytes, copy_head, copy_t
from fastmem._core.lookup cimport digest_of, expired, find_word, is_touched, log_t, take_touched
from fastmem._core.moves cimport forward, remove
from fastmem._core.needs cimport DONE, STALE
from fastmem._core.passing cimport KeyFilter, needs_nothing, note
from fastmem._core.record cimport body_valid, key_of, record_units
from fastmem._core.tiers cimport WARM, locate_at, segment_end, valid

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


ctypedef struct way_t:
    log_t* log
    uint8_t* dead       # the filter's bits
    uint64_t at         # of the first record that was not passed
    uint64_t until
    int64_t dead_bytes  # of those that were
    draft_t* draft      # of that one, if it is `plain`:
    bint plain          # live, sound, and all that it stands for is in it


def settle_plain(
    Log log not None, uint64_t at, uint64_t most_units, Credit credit not None,
    KeyFilter dead not None, list dropped,
):
    """Return where the first record from `at` on lies that wants more than this (or the segment's
    end, what lies on a missing page, or `most_units` on), and how many values were taken out.

    What needs nothing is passed, its key added to `dead`. What is live moves to the tail if
    `credit` covers it. Else its key is removed, and noted in `dropped`, where that is not None.
    Call it under the engine's lock.
    """
    cdef log_t* state = &log.state
    cdef draft_t draft
    cdef way_t way
    cdef int64_t length
    cdef Py_ssize_t gone = 0
    cdef bint read_lately
    log.require_open()
    way.log, way.dead, way.draft, way.at = state, &dead.bits[0], &draft, at
    way.until = min(segment_end(&state.tier[WARM], at), at + most_units)
    while True:
        way.plain = False
        way.dead_bytes = 0
        if guarded(pass_on, &way):
            state.faults += 1
            way.plain = False
        credit.earn(way.dead_bytes, True)
        if not way.plain:
            return way.at, gone
        length = (draft.passed - way.at) * FM_UNIT
        read_lately = is_touched(state, draft.digest)
        if credit.covers(length, read_lately):
            if not take(log, forward, &draft):
                return way.at, gone
            credit.spend(length, read_lately)
            take_touched(state, draft.digest)
        else:
            if not take_out(log, &draft, dropped):
                return way.at, gone
            credit.earn(length, False)
            gone += 1
        way.at = draft.passed


cdef void pass_on(void* facts) noexcept nogil:
    """Go on past what needs nothing."""
    cdef way_t* way = <way_t*>facts
    cdef log_t* log = way.log
    cdef draft_t* draft = way.draft
    cdef cursor_t cursor
    cdef copy_t found
    while way.at < way.until and locate_at(&log.tier[WARM], way.at, &found.place):
        if not valid(&found.place) or not copy_head(&found) or found.head.kind == FM_SEAL:
            return
        draft.key, draft.head.klen = key_of(found.place.record), found.head.klen
        draft.digest = digest_of(log, draft.key, draft.head.klen)
        draft.passed = way.at + record_units(&found.head, way.at)
        if not needs_nothing(log, &found, draft.digest):
            draft.expected = tag_of(&log.index, draft.digest) | way.at
            way.plain = (
                found.head.kind == FM_VALUE
                and find_word(log, draft.digest, draft.expected, &cursor)
                and not expired(log, &found.head)
                and body_valid(found.place.record, way.at)
            )
            return
        note(way.dead, draft.digest)
        way.dead_bytes += (draft.passed - way.at) * FM_UNIT
        way.at = draft.passed


cdef bint take(Log log, step_t step, draft_t* draft) except -1:
    """False when it was too late for a step, or it needs what only the long way gives."""
    cdef int outcome = STALE
    try:
        outcome = log.take(step, draft)
    except LogNeeds:
        pass
    return outcome == DONE


cdef bint take_out(Log log, draft_t* draft, list dropped) except -1:
    cdef bint done = False
    if dropped is None:
        return take(log, remove, draft)
    key = PyBytes_FromStringAndSize(NULL, draft.head.klen)
    if not copy_bytes(&log.state, PyBytes_AS_STRING(key), draft.key, draft.head.klen):
        return False
    dropped.append(key)  # first: it may need memory
    try:
        done = take(log, remove, draft)
    finally:
        if not done:
            dropped.pop()
    return done
