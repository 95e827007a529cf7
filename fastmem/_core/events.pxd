"""Who is told what left a cache, and why."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.cache cimport Cache
from fastmem._core.table cimport Displaced


cdef class Announcer(Cache):
    cdef tuple listeners             # None: nobody
    cdef readonly bint _listening    # there are listeners
    cdef Displaced untold            # what left and was not told yet, oldest first
    cdef bint telling                # a thread of the process `teller` is at it
    cdef object teller
    cdef uint64_t listener_errors

    # What `watched` has to be with listeners, or without.
    cdef uint32_t causes_watched(self, bint listening) noexcept

    # For changes whose events no displaced entry carries. An entry to carry one, taken before the
    # change so that nothing fails after it; 0 without listeners. Then one of the other two, both
    # ATOMIC: give it back, or fill and queue it.
    cdef uint32_t take_event(self) except? 4294967295
    cdef void drop_event(self, uint32_t event) noexcept
    cdef void post_event(
        self, uint32_t event, object key, object value, int64_t size_bytes, uint32_t cause
    ) noexcept
    # ATOMIC. Queues what of `out` left for one of `causes`, which `out` then lacks.
    cdef void post_displaced(self, Displaced* out, uint32_t causes) noexcept
    # Tells every event that waits, one at a time, unless a call further up or another thread is at
    # it: then that one goes on with these. Called with the structure whole.
    cdef int tell(self) except -1
    # Tells one event; returns what a listener raised that is no Exception, or None.
    cdef object tell_one(self, object key, object value, str cause)
    # The events that wait: how many, and the bytes they keep.
    cdef dict count_untold(self)
