"""Who is told what left a cache, and why."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.cache cimport Cache
from fastmem._core.table cimport Displaced


cdef class Announcer(Cache):
    cdef tuple listeners             # of registrations, each a tuple of its own; None: nobody
    cdef readonly bint _listening    # there are listeners
    cdef Displaced untold            # what left and was not told yet, oldest first
    cdef int64_t waiting             # how many these are
    cdef int64_t left                # how many of them the last turn left
    cdef object turn                 # the lock that a thread holds while it tells
    cdef object process              # where `turn` was made
    cdef uint64_t teller             # the thread, 0 between two turns
    cdef bint spent                  # it has told its share
    cdef bint wanted                 # somebody has made another change since
    cdef int64_t queuing             # threads that wait for their turn
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
    # ATOMIC. Queues what of `out` left for one of `causes`, which `out` then lacks; how many.
    cdef int64_t post_displaced(self, Displaced* out, uint32_t causes) noexcept
    # Tells the events that wait, one at a time, unless a call further up or another thread is at
    # it: then that one goes on with these. `own`: how many the caller has queued, if it knows.
    # Called with the structure whole.
    cdef int tell(self, int64_t own) except -1
    cdef bint take_turn(self) except -1
    cdef object tell_share(self, int64_t share)
    # Tells one event; returns what a listener raised that is no Exception, or None.
    cdef object tell_one(self, object key, object value, str cause)
    # The events that wait: how many, and the bytes they keep.
    cdef dict count_untold(self)
