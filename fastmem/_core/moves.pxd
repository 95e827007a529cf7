"""The steps of reclaim, as those of appending.pxd."""

from fastmem._core.appending cimport draft_t
from fastmem._core.lookup cimport log_t

cdef int forward(log_t* log, draft_t* draft) noexcept nogil
cdef int remove(log_t* log, draft_t* draft) noexcept nogil
cdef int clear_slot(log_t* log, draft_t* draft) noexcept nogil
cdef int roll_warm(log_t* log, draft_t* draft) noexcept nogil
cdef int roll_cold(log_t* log, draft_t* draft) noexcept nogil
