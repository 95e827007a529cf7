"""Iteration over a table from the next victim to the most recent, whatever happens meanwhile."""

from fastmem._core.table cimport Table

cdef enum:
    KEYS = 0
    VALUES = 1
    ITEMS = 2

# An iterator over the entries that are live now. `owner` is the object `table` lies in.
cdef object iterate(object owner, Table* table, int kind)
