"""Plain values straight out of a log and into it, without the objects of the layers above."""

from libc.stdint cimport int64_t, uint64_t
from fastmem._core.ahead cimport ask_for_bucket
from fastmem._core.appending cimport draft_t
from fastmem._core.lookup cimport digest_of
from fastmem._core.plain cimport PlainCodec, body_t
from fastmem._core.reading cimport LogReader
from fastmem._core.spans cimport span_t

ctypedef struct met_t:   # what was read
    uint64_t word        # of the key's record
    uint64_t home        # the bucket that led to it, and
    uint64_t stamp       # its version before: see stamp_of
    int64_t deadline_ns  # by the wall clock, 0 = never
    uint64_t written_ms

# A new value of an aimed key, whose record counts as read, as `LogReader.get` reads and the codec
# decodes; MISSING (see cache.pyi) when it is absent or expired; OTHER when there is more to it than
# that, and nothing has been counted: a body that is not plain, a cold one, damage, an error to be
# told.
cdef object fetch(LogReader log, PlainCodec codec, const span_t* key, met_t* met)
# Ask for what keys with these digests lead to.
cdef void ask_for_records(LogReader log, const uint64_t* digests, int count) noexcept
# The draft of a plain value's record, written now. `deadline_ns` is CLOCK_BOOTTIME, 0 = never. The
# memory of the key, which is aimed, and of the body must stay. Neither this nor a tombstone's can
# fail.
cdef void draft_value(
    LogReader log, draft_t* draft, const span_t* key, const body_t* body, int64_t deadline_ns
) noexcept
cdef void draft_tombstone(LogReader log, draft_t* draft, const span_t* key) noexcept

cdef object OTHER


cdef inline int aim(LogReader log, span_t* key) except -1:
    """Take the key's digest, and ask for its bucket: it comes while the caller does other things.

    ClosedError. The digest stays what it is, also when user code runs before it is used.
    """
    if log.closed or log.state.poisoned:
        log.require_open()
    key.digest = digest_of(&log.state, key.data, key.size)
    ask_for_bucket(&log.state, key.digest)
    return 0
