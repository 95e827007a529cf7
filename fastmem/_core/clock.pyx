"""Reading a caller's time to live."""

from cpython.bool cimport PyBool_Check
from cpython.datetime cimport PyDelta_Check, import_datetime, timedelta_days, timedelta_microseconds
from cpython.datetime cimport timedelta_seconds
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.number cimport PyIndex_Check, PyNumber_Index
from libc.math cimport ceil, isnan
from libc.stdint cimport int64_t

import_datetime()

cdef int64_t SECOND = 1_000_000_000
cdef int64_t LONGEST_SECONDS = 9_200_000_000  # about 290 years: what int64 nanoseconds hold


cdef int64_t ttl_ns(object ttl_seconds) except -1:
    cdef int64_t seconds
    cdef int overflow = 0
    cdef double real
    if ttl_seconds is None:
        return 0
    if PyFloat_Check(ttl_seconds):
        real = PyFloat_AS_DOUBLE(ttl_seconds)
        if isnan(real) or real <= 0.0:
            raise ValueError(f"ttl_seconds must be positive, got {ttl_seconds!r}")
        return 0 if real >= <double>LONGEST_SECONDS else max(<int64_t>ceil(real * 1e9), 1)
    if PyDelta_Check(ttl_seconds):
        seconds = <int64_t>timedelta_days(ttl_seconds) * 86_400 + timedelta_seconds(ttl_seconds)
        if seconds < 0 or (seconds == 0 and timedelta_microseconds(ttl_seconds) == 0):
            raise ValueError(f"ttl_seconds must be positive, got {ttl_seconds!r}")
        if seconds >= LONGEST_SECONDS:
            return 0
        return seconds * SECOND + <int64_t>timedelta_microseconds(ttl_seconds) * 1_000
    if PyBool_Check(ttl_seconds) or not PyIndex_Check(ttl_seconds):
        raise TypeError(
            "ttl_seconds must be int, float, timedelta or None, "
            f"not {type(ttl_seconds).__name__}"
        )
    seconds = PyLong_AsLongLongAndOverflow(PyNumber_Index(ttl_seconds), &overflow)
    if overflow < 0 or (overflow == 0 and seconds <= 0):
        raise ValueError(f"ttl_seconds must be positive, got {ttl_seconds!r}")
    return 0 if overflow or seconds >= LONGEST_SECONDS else seconds * SECOND


def deadline_ns(object ttl_seconds):
    """Return the deadline (CLOCK_BOOTTIME nanoseconds) of an entry put now, 0 for never.

    `ttl_seconds` is int, float, timedelta or None. ValueError for zero, negative and NaN; what lies
    beyond about 290 years is never.
    """
    return deadline_after(ttl_ns(ttl_seconds))


def boottime_ns():
    """Return CLOCK_BOOTTIME in nanoseconds, as the deadline checks see it (up to a tick behind)."""
    return coarse_now_ns()
