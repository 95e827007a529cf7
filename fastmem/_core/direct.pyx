"""Plain values straight out of a log and into it. See direct.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmem._core.clock cimport wall_now_ms
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport stamp_of
from fastmem._core.layout cimport FM_COMPRESSED, FM_TIER_BIT, FM_TOMBSTONE, FM_VALUE, fm_record
from fastmem._core.lookup cimport mark_touched
from fastmem._core.plain cimport RAW_BYTES, is_plain
from fastmem._core.reading cimport copy_body
from fastmem._core.tiers cimport place_t

from fastmem._core.cache import MISSING

cdef int64_t LAST_WALL_NS = (1 << 63) - 1  # the wall clock of records ends in 2262

cdef object MISS = MISSING
OTHER = object()


cdef object fetch(LogReader log, PlainCodec codec, const span_t* key, met_t* met):
    cdef place_t place
    cdef const fm_record* head
    cdef int codec_id
    met.home = 0
    log.attend()
    met.stamp = stamp_of(&log.state.index, key.digest, &met.home)  # before the slot
    met.word = log.live_word(key.data, key.size, key.digest, &place)
    if met.word == 0:
        return OTHER if log.state.damaged_count else MISS
    if met.word & FM_TIER_BIT:
        return OTHER
    head = place.record
    if head.kind != FM_VALUE or head.mac_key or head.flags & FM_COMPRESSED:
        return OTHER
    codec_id = head.codec
    if not is_plain(codec_id):
        return OTHER
    met.deadline_ns = head.deadline_ns
    met.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
    body = copy_body(&place)
    if body is None:
        return OTHER
    mark_touched(&log.state, key.digest)
    if codec_id == RAW_BYTES:
        return body
    try:
        return codec.value_of(codec_id, body)
    except MemoryError:
        raise
    except Exception:
        return OTHER  # to be raised with the key and the place


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
