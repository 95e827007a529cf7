"""Results of a function: found in a cache, or loaded once for all who ask."""

from libc.stdint cimport int64_t, uint64_t

from fastmem._core.flights cimport Flight
from fastmem._core.l1 cimport L1Cache


cdef class Loader:
    cdef readonly L1Cache cache
    cdef readonly object function
    cdef object background       # (memo, flight, args, kwargs): has the flight made, by and by
    cdef dict parameters         # as they were given
    cdef int64_t stale_ns        # how long before their deadline results are stale
    cdef double beta             # of XFetch
    cdef double load_ns          # what a load takes, on average
    cdef uint64_t random
    cdef object ttl_s            # from load to deadline, or None
    cdef object error_ttl_s      # the same for exceptions; None: they are not kept
    cdef uint64_t hits
    cdef uint64_t misses

    # Its value in the cache, which counts as a hit, or MISSING. `due` becomes its deadline when it
    # should be refreshed. Raises an exception that is kept.
    cdef object find(self, object key, int64_t* due)
    cdef bint is_due(self, int64_t deadline_ns) noexcept
    cdef int64_t deadline_of(self, object key) except? -1
    # On a miss: loads, or waits for who does.
    cdef object load(self, object key, tuple args, dict kwargs)
    # Has a value with the deadline `due` loaded anew, unless somebody does or did.
    cdef int refresh(self, object key, int64_t due, tuple args, dict kwargs) except -1
    # Calls the function; its value, or what it raises, after the flight has come down.
    cdef object lead(self, Flight flight, tuple args, dict kwargs)
    # Stores what a flight loaded, and lands it.
    cdef int keep(self, Flight flight, value, int64_t took_ns) except -1
    # The flight of a key: `fresh`, or the one that is in the air. One that is stalled has lost its
    # lease: whom it still reaches gets its outcome, others do not wait for it.
    cdef Flight join(self, Flight fresh)
