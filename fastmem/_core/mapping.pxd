"""A file mapped into memory. Only files.py makes these; compiled units read their addresses."""

cdef class Mapping:
    cdef char* base
    cdef readonly size_t size
    cdef readonly bint writable
    cdef Py_ssize_t exports
    cdef bint closed
    cdef int unmap(self) except -1
    cdef int give_back(self) except -1
