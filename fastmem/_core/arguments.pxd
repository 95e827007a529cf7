"""Checks of what callers hand in."""

from libc.stdint cimport int64_t

# A count of bytes: an int from 0, saturated at 2**61; TypeError or ValueError naming `what`.
cdef int64_t whole_number(object number, str what) except -1
