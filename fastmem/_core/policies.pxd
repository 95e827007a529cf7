"""Who leaves first, and who is remembered; what a use does is `table_use`, in table.pxd."""

from libc.stdint cimport uint32_t

from fastmem._core.table cimport Table

# The entry that has to leave next, 0 when there is none. O(1): under `s3fifo` at most CHANCES
# entries that were used move on before it.
cdef uint32_t table_victim(Table* t) noexcept nogil
# Of one that leaves the small queue for want of room: should it come again, it was wanted.
cdef void table_remember(Table* t, uint32_t index) noexcept nogil
