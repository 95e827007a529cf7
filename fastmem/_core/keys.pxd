"""Tier keys as canonical bytes: equal keys, and only those, have equal bytes."""

cdef enum:
    TAG_STR = 0x73
    TAG_BYTES = 0x62
    TAG_INT = 0x69
    TAG_TUPLE = 0x74

cdef bytes encode(object key)
# The two's complement of a number in as few of eight bytes as hold it, big-endian; how many.
cdef Py_ssize_t digits_of(long long number, char* digits) noexcept
