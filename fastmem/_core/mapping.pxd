"""A file mapped into memory. Only files.py makes these; compiled units read their addresses."""

from libc.stdint cimport uint8_t, uint64_t

cdef class Mapping:
    cdef char* base
    cdef uint64_t* known     # which of its pages are known to be in memory, once asked for
    cdef uint64_t* pages_known(self) except NULL
    cdef readonly size_t size
    cdef readonly bint writable
    cdef Py_ssize_t exports  # buffers taken from it and calls at work in it: it stays mapped
    cdef uint8_t* checked    # of windows.pyx: which of its bytes are known to be sound; may be NULL
    cdef bint closed
    cdef int unmap(self) except -1
    cdef int give_back(self) except -1
    cdef bint fault_in(self, size_t offset, size_t length, int advice) except -1
    cdef int move_guarded(
        self, size_t offset, char* to, const char* origin, size_t length
    ) except -1
