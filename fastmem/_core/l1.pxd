"""The compiled in-process cache. What the tiers build on: see entries.pxd, cache.pxd."""

from cpython.ref cimport PyObject
from fastmem._core.bulk cimport BulkVerbs

# Returns NULL with an exception set.
ctypedef PyObject* (*fastcall)(PyObject*, PyObject**, Py_ssize_t, PyObject*) noexcept

# What answers calls of `get` that have keywords. A class on top may put its own before it.
cdef fastcall get_wrapper


cdef class L1Cache(BulkVerbs):
    pass
