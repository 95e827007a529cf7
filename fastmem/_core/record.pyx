"""Checking and writing one record. FORMAT.md is the prose of what is done here."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from fastmem._core.hashing cimport xxh3
from fastmem._core.layout cimport (
    FM_COLD, FM_COLD_EXTENSION, FM_RECORD_HEADER, fm_cold, fm_record,
)


cdef bint body_valid(const fm_record* record, uint64_t at) noexcept nogil:
    """True when the body is whole. The header must have been found valid."""
    return xxh3(<const char*>record + body_offset(record, at), body_bytes(record)) == record.bcheck


cdef void write_record(
    char* place, uint64_t at, uint64_t salt, fm_record* head, const fm_cold* cold,
    const char* key, const char* body
) noexcept nogil:
    """Write a record at `place`. `head` is complete but for hcheck; bcheck covers `body`.

    The caller has made sure that the record fits; nothing is visible until a slot or the tail
    says so.
    """
    cdef fm_record* record = <fm_record*>place
    memcpy(place, head, FM_RECORD_HEADER)
    if head.flags & FM_COLD:
        memcpy(place + FM_RECORD_HEADER, cold, FM_COLD_EXTENSION)
    memcpy(<char*>key_of(record), key, head.klen)
    memcpy(place + body_offset(record, at), body, body_bytes(record))
    record.hcheck = header_digest(record, salt ^ at)


cdef void void_record(fm_record* record) noexcept nogil:
    """Take back a record that was written but not applied, so that no recovery finds it."""
    record.hcheck = ~record.hcheck
