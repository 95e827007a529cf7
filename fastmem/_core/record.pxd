"""The record: what one append writes and one read trusts."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from fastmem._core.hashing cimport xxh3_seeded
from fastmem._core.layout cimport (
    FM_ALIGNED, FM_BODY_ALIGNMENT, FM_COLD, FM_COLD_EXTENSION, FM_INLINE_LIMIT, FM_KEY_LIMIT,
    FM_KNOWN_FLAGS, FM_MAC_BYTES, FM_POINTER, FM_RECORD_HEADER, FM_UNIT, FM_VALUE, fm_cold,
    fm_record,
)


cdef inline uint64_t head_bytes(const fm_record* record) noexcept nogil:
    """Bytes before the body, without alignment: header, cold extension, key."""
    return (
        FM_RECORD_HEADER + (FM_COLD_EXTENSION if record.flags & FM_COLD else 0)
        + <uint64_t>record.klen
    )


cdef inline const char* key_of(const fm_record* record) noexcept nogil:
    return (
        <const char*>record + FM_RECORD_HEADER
        + (FM_COLD_EXTENSION if record.flags & FM_COLD else 0)
    )


cdef inline const fm_cold* cold_of(const fm_record* record) noexcept nogil:
    return <const fm_cold*>(<const char*>record + FM_RECORD_HEADER)


cdef inline uint64_t body_bytes(const fm_record* record) noexcept nogil:
    """Bytes of the body: the value and its MAC."""
    return <uint64_t>record.vlen + (FM_MAC_BYTES if record.mac_key else 0)


cdef inline uint64_t body_offset(const fm_record* record, uint64_t at) noexcept nogil:
    """Offset of the body from the record's start; `at` is the record's address in units."""
    cdef uint64_t head = head_bytes(record)
    cdef uint64_t start
    if record.flags & FM_ALIGNED:
        start = at * FM_UNIT + head
        head += -start & (FM_BODY_ALIGNMENT - 1)
    return head


cdef inline uint64_t record_units(const fm_record* record, uint64_t at) noexcept nogil:
    """Length of the whole record in units of 16 bytes."""
    return (body_offset(record, at) + body_bytes(record) + FM_UNIT - 1) // FM_UNIT


cdef inline bint plausible(const fm_record* record, uint64_t at, uint64_t room) noexcept nogil:
    """True when every length of the header is within limits and within `room` bytes.

    Comes before any hashing: no byte past `room` is read whatever the header says.
    """
    if room < FM_RECORD_HEADER or record.kind < FM_VALUE or record.kind > FM_POINTER:
        return False
    if record.flags & ~FM_KNOWN_FLAGS:
        return False
    if record.klen > FM_KEY_LIMIT or record.vlen > FM_INLINE_LIMIT:
        return False
    return record_units(record, at) * FM_UNIT <= room


cdef inline uint64_t header_digest(const fm_record* record, uint64_t seed) noexcept nogil:
    return xxh3_seeded(<const char*>record + 8, head_bytes(record) - 8, seed)


cdef inline bint header_valid(
    const fm_record* record, uint64_t at, uint64_t room, uint64_t salt
) noexcept nogil:
    """True for a header and key written at exactly this address of this store."""
    return plausible(record, at, room) and header_digest(record, salt ^ at) == record.hcheck


cdef bint body_valid(const fm_record* record, uint64_t at) noexcept nogil
cdef void void_record(fm_record* record) noexcept nogil
cdef void write_record(
    char* place, uint64_t at, uint64_t salt, fm_record* head, const fm_cold* cold,
    const char* key, const char* body
) noexcept nogil
