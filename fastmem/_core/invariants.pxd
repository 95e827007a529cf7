"""What must hold of a table between two calls."""

from fastmem._core.table cimport Table

# Walks every invariant; AssertionError with details.
cdef int table_check(const Table* t) except -1
