"""Finishing what a dead writer had begun."""

from libc.stdint cimport int64_t
from fastmem._core.lookup cimport log_t

cdef int64_t finish(log_t* log, int* need) noexcept nogil
