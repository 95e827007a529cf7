"""The compiled in-process cache. What the tiers build on: see entries.pxd, cache.pxd."""

from fastmem._core.bulk cimport BulkVerbs


cdef class L1Cache(BulkVerbs):
    pass
