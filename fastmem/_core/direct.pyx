"""Plain values straight out of a log and into it. See direct.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmem._core.ahead cimport ask_for_record
from fastmem._core.clock cimport wall_now_ms
from fastmem._core.faults cimport guarded
from fastmem._core.hashing cimport xxh3
from fastmem._core.layout cimport FM_TOMBSTONE, FM_VALUE, fm_record
from fastmem._core.looking cimport begin_look
from fastmem._core.lookup cimport log_t, mark_touched
from fastmem._core.plain cimport RAW_BYTES
from fastmem._core.records cimport body_read, read_t

from fastmem._core.cache import MISSING

cdef int64_t LAST_WALL_NS = (1 << 63) - 1  # the wall clock of records ends in 2262

cdef object MISS = MISSING
OTHER = object()

ctypedef struct asked_t:
    const log_t* log
    const uint64_t* digests
    int count


cdef object fetch(LogReader log, PlainCodec codec, const span_t* key, met_t* met):
    cdef read_t read
    cdef const fm_record* head = &read.look.found.head
    begin_look(&read.look, &log.state, key.data, key.size, key.digest)
    read.plain = True
    log.read(&read, True)
    met.word = read.look.found.word
    if met.word == 0:
        return OTHER if log.state.damaged_count else MISS
    body = body_read(&read)
    if body is None:
        return OTHER
    mark_touched(&log.state, key.digest)
    met.home = read.look.home
    met.stamp = read.look.stamp
    met.deadline_ns = head.deadline_ns
    met.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
    if head.codec == RAW_BYTES:
        return body
    try:
        return codec.value_of(head.codec, body)
    except MemoryError:
        raise
    except Exception:
        return OTHER  # to be raised with the key and the place


cdef void ask_for_records(LogReader log, const uint64_t* digests, int count) noexcept:
    cdef asked_t asked = asked_t(&log.state, digests, count)
    guarded(ask_for_all, &asked)


cdef void ask_for_all(void* facts) noexcept nogil:
    cdef asked_t* asked = <asked_t*>facts
    cdef int i
    for i in range(asked.count):
        ask_for_record(asked.log, asked.digests[i])


cdef inline int64_t wall_deadline(LogReader log, int64_t deadline_ns) noexcept:
    cdef int64_t offset = log.state.wall_offset_ns
    if deadline_ns == 0:
        return 0
    return deadline_ns + offset if deadline_ns <= LAST_WALL_NS - offset else LAST_WALL_NS


def stamps(LogReader log not None, int64_t deadline_ns):
    """The times of a record that is written now: (its deadline by the wall clock, 0 for never, and
    milliseconds since 1970). `deadline_ns` is CLOCK_BOOTTIME, 0 = never.
    """
    return wall_deadline(log, deadline_ns), wall_now_ms()


cdef void draft_value(
    LogReader log, draft_t* draft, const span_t* key, const body_t* body, int64_t deadline_ns
) noexcept:
    cdef uint64_t written_ms = wall_now_ms()
    draft_tombstone(log, draft, key)
    draft.head.deadline_ns = wall_deadline(log, deadline_ns)
    draft.body = body.data
    draft.head.bcheck = xxh3(body.data, body.size)
    draft.head.vlen = <uint32_t>body.size
    draft.head.kind = FM_VALUE
    draft.head.codec = body.codec
    draft.head.written_high = <uint32_t>(written_ms >> 32) & 0xFFFF
    draft.head.written_low = <uint32_t>written_ms


cdef void draft_tombstone(LogReader log, draft_t* draft, const span_t* key) noexcept:
    memset(draft, 0, sizeof(draft_t))
    draft.key = key.data
    draft.head.klen = <uint32_t>key.size
    draft.digest = key.digest
    draft.body = b""
    draft.head.bcheck = xxh3(draft.body, 0)
    draft.head.kind = FM_TOMBSTONE
