"""Deep size of a Python value in bytes; sizing.pyx describes what is counted."""

from libc.stdint cimport int64_t

cdef enum:
    FORM_OPAQUE = 0   # holds something that is not a plain type
    FORM_DIRECT = 1   # a tree of None, bool, 64-bit int, float, str, bytes, list, dict
    FORM_PLAIN = 2    # plain types only, but more than that

# Both may run user code (a `__sizeof__`); for exact str, bytes, int, float, bool and None, and
# containers of these, they do not. -1 with MemoryError, or what a `__sizeof__` raised that is not
# an Exception.
cdef int64_t size_of(object value) except -1
cdef int64_t size_and_form(object value, int* form) except -1
