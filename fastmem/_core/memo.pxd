"""Functions whose results a cache keeps."""

from cpython.object cimport PyObject

from fastmem._core.calls cimport Calls
from fastmem._core.loader cimport Loader

ctypedef PyObject* (*vectorcall)(PyObject*, PyObject**, size_t, PyObject*)


cdef class Memo(Loader):
    cdef vectorcall entry_point
    cdef dict __dict__
    cdef object __weakref__
    cdef object key_function     # None: `calls` makes the keys
    cdef Calls calls
    cdef int owned               # of a call that nobody bound: MAYBE, if a class has it

    cdef object call(self, PyObject** args, size_t count, PyObject* names, int owned)
    # The key of a call; MISSING when the function does not take these arguments.
    cdef object key_of(
        self, PyObject** args, size_t count, PyObject* names, int owned, bint lasting
    )
    # That of a call made from Python; TypeError when the function does not take these arguments.
    cdef object key_from(self, tuple args, dict kwargs, int owned)


cdef class MemoMethod(Memo):  # no field of its own: a Memo becomes one where it lies
    pass


cdef class BoundMemo:
    cdef vectorcall entry_point
    cdef readonly Memo __func__
    cdef readonly object __self__
    cdef object __weakref__

    cdef Memo memo(self)
