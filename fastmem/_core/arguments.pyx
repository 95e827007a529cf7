"""What callers hand in, checked."""

from cpython.bool cimport PyBool_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.number cimport PyIndex_Check, PyNumber_Index

from fastmem._core.objects cimport HUGE


cdef int64_t whole_number(object number, str what) except -1:
    """A caller's or a sizer's count of bytes, saturated at HUGE."""
    cdef int64_t size
    cdef int overflow = 0
    if PyBool_Check(number) or not PyIndex_Check(number):
        raise TypeError(f"{what} must be an int, not {type(number).__name__}")
    size = PyLong_AsLongLongAndOverflow(PyNumber_Index(number), &overflow)
    if overflow < 0 or (size < 0 and overflow == 0):
        raise ValueError(f"{what} must not be negative, got {number!r}")
    return HUGE if overflow else min(size, HUGE)
