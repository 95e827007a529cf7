"""The numbers of layout.h, for Python too: one source for what is written and what is read."""

cdef extern from "fields.h" nogil:
    ctypedef struct fm_field:
        const char* of
        const char* name
        size_t offset
        size_t bytes
        char code
    const fm_field[1] fm_fields
    size_t FM_FIELD_COUNT

FORMAT = FM_FORMAT
FIRST_FORMAT = FM_FIRST_FORMAT
PAGE_BYTES = FM_PAGE
UNIT_BYTES = FM_UNIT
SEGMENT_HEADER_BYTES = FM_SEGMENT_HEADER
INLINE_LIMIT_BYTES = FM_INLINE_LIMIT
KEY_LIMIT_BYTES = FM_KEY_LIMIT
MAC_BYTES = FM_MAC_BYTES
MOST_LEVEL = FM_MOST_LEVEL
BUCKET_BYTES = sizeof(fm_bucket)
PROCESSES_BYTES = sizeof(fm_processes)
PROCESS_BYTES = sizeof(fm_process)
PROCESS_SLOTS = FM_PROCESSES
TOUCHED_BITS = FM_TOUCHED_BITS
BODY_ALIGNMENT_BYTES = FM_BODY_ALIGNMENT

# Addresses, in units.
HEADER_UNITS = FM_HEADER_UNITS
SEAL_UNITS = FM_SEAL_UNITS
COLD_SEAL_UNITS = FM_COLD_SEAL_UNITS
TIER_BIT = FM_TIER_BIT
LOCATION_MASK = FM_LOCATION_MASK

# Kinds of records.
VALUE = FM_VALUE
TOMBSTONE = FM_TOMBSTONE
SEAL = FM_SEAL
POINTER = FM_POINTER

# Flags of records.
SHADOWS_L3 = FM_SHADOWS_L3
COMPRESSED = FM_COMPRESSED
ALIGNED = FM_ALIGNED
COLD_RECORD = FM_COLD


def fields(str structure not None):
    """Return (name, offset, bytes) of every field of fm_<structure>, in their order.

    >>> fields("skip")
    [('check', 0, 8), ('units', 8, 8)]
    """
    cdef const fm_field* field
    cdef size_t place
    found = []
    for place in range(FM_FIELD_COUNT):
        field = &fm_fields[place]
        if field.of == structure.encode():
            found.append((field.name.decode(), field.offset, field.bytes))
    return found


def offset(str structure not None, str field not None):
    """Return the byte offset of a field of fm_<structure>. KeyError when there is none.

    >>> offset("super", "lock")
    128
    """
    cdef const fm_field* found = &fm_fields[place_of(structure, field)]
    return found.offset


def form(str structure not None, str first not None, str last not None):
    """Return the format, as struct takes it, of the fields of fm_<structure> from one to another.

    >>> form("super", "magic", "uuid")
    '<8sII16s'
    """
    cdef size_t place = place_of(structure, first)
    cdef size_t end = place_of(structure, last)
    cdef const fm_field* field
    codes = ["<"]
    for place in range(place, end + 1):
        field = &fm_fields[place]
        codes.append(f"{field.bytes}s" if field.code == b"s" else chr(field.code))
    return "".join(codes)


cdef Py_ssize_t place_of(str structure, str name) except -1:
    cdef size_t place
    for place in range(FM_FIELD_COUNT):
        if fm_fields[place].of == structure.encode() and fm_fields[place].name == name.encode():
            return place
    raise KeyError(f"fm_{structure}.{name}")
