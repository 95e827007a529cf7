"""Who is told what left a cache, and why."""

from libc.stdint cimport uint64_t

from fastmem._core.cache cimport Cache
from fastmem._core.table cimport Displaced


cdef class Announcer(Cache):
    cdef tuple listeners             # None: nobody
    cdef Displaced untold            # what left and was not told yet, oldest first
    cdef bint telling                # a thread of the process `teller` is at it
    cdef object teller
    cdef uint64_t listener_errors

    # Tells every event that waits, one at a time, unless a call further up or another thread is at
    # it: then that one goes on with these. Called with the structure whole.
    cdef int tell(self) except -1
    # Tells one event; returns what a listener raised that is no Exception, or None.
    cdef object tell_one(self, object key, object value, str cause)
    # The events that wait: how many, and the bytes they keep.
    cdef dict count_untold(self)
