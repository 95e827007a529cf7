"""Having the pages of a record in memory before anybody touches them."""

from fastmem._core.looking cimport look_t
from fastmem._core.lookup cimport log_t
from fastmem._core.mapping cimport Mapping

cdef bint wake_pages(look_t* look, Mapping mapping, bint wait) except -1
cdef void check_pages(log_t* log) noexcept
