"""`Loader`: what a call comes to whose key is known.

A miss goes through a flight (flights.pyx) under a lease (leases.pyx): whoever enters first loads,
the others wait for it, and what it loaded is stored only if nobody changed the key meanwhile.
"""

import os
import sys
from collections.abc import Coroutine

from libc.math cimport log
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.cache cimport used
from fastmem._core.clock cimport boot_now_ns, coarse_now_ns, ttl_ns
from fastmem._core.entries cimport lookup_live
from fastmem._core.flights cimport ABANDONED, FAILED, LANDED
from fastmem._core.kept cimport given
from fastmem._core.leases cimport Leases
from fastmem._core.table cimport Entry, fragment_of, key_hash

from fastmem._core.cache import MISSING
from fastmem._core.kept import Kept
from fastmem.errors import SerializationError, ValueTooLargeError

cdef object MISS = MISSING
cdef object KEPT = Kept
cdef int64_t LONGEST_NS = 8_000_000_000_000_000_000  # about 253 years: now and it are an int64
cdef int64_t NEVER_EARLY = 40  # times the spread before the time comes: the odds are exp(-40)


cdef object running_loop():
    """The asyncio loop that runs in this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


cdef class Loader:
    """Finds results in a cache, and loads what is not there."""

    def __cinit__(
        self, function, L1Cache cache not None, *_, ttl, stale_ttl, error_ttl, early_refresh,
        background, **__,
    ):
        self.function = function
        self.cache = cache
        self.background = background
        cdef int64_t fresh_ns, stale_ns, longest_ns
        self.parameters = {
            "ttl": ttl,
            "stale_ttl": stale_ttl,
            "error_ttl": error_ttl,
            "early_refresh": early_refresh,
        }
        fresh_ns, stale_ns = ttl_ns(ttl), ttl_ns(stale_ttl)
        if 0 < fresh_ns < LONGEST_NS:
            # What would be stale for ever needs a deadline all the same, to be known as stale.
            if stale_ttl is not None:
                longest_ns = LONGEST_NS - fresh_ns
                self.stale_ns = min(stale_ns, longest_ns) if stale_ns else longest_ns
            self.ttl_s = (fresh_ns + self.stale_ns) / 1e9
        self.beta = early_refresh
        self.error_ttl_s = error_ttl
        self.random = int.from_bytes(os.urandom(8), "little") | 1

    cdef object find(self, object key, int64_t* due):
        cdef L1Cache cache = self.cache
        cdef Entry* entry
        cdef int64_t deadline
        cdef uint32_t index = lookup_live(cache, key)
        if index:
            entry = cache.table.entries + index
            deadline = entry.deadline_ns
            value = <object>used(cache, index)
        else:
            value = cache.miss(key)
            if value is MISS:
                return value
            deadline = self.deadline_of(key) if self.stale_ns or self.beta else 0
        self.hits += 1
        if type(value) is KEPT:
            return given(value)
        if deadline and (self.stale_ns or self.beta) and self.is_due(deadline):
            due[0] = deadline
        return value

    cdef int64_t deadline_of(self, object key) except? -1:
        try:
            return self.cache._deadline(key)
        except KeyError:
            return 0

    cdef bint is_due(self, int64_t deadline_ns) noexcept:
        cdef double gap = deadline_ns - self.stale_ns - coarse_now_ns()
        cdef double spread = self.beta * self.load_ns
        if gap <= 0:
            return True
        if gap > NEVER_EARLY * spread:
            return False
        self.random ^= self.random << 13
        self.random ^= self.random >> 7
        self.random ^= self.random << 17
        return gap <= -spread * log(((self.random >> 11) + 1) * (1.0 / (<uint64_t>1 << 53)))

    def enter(self, Flight fresh not None):
        """The flight of a key: `fresh`, or the one that is in the air."""
        return self.join(fresh)

    cdef Flight join(self, Flight fresh):
        cdef L1Cache cache = self.cache
        cdef Flight flight
        cdef uint32_t fragment = fragment_of(cache.table.seed, key_hash(fresh.key))
        if cache.leases is None:
            leases = Leases()
            if cache.leases is None:  # else a collection ran code that entered
                cache.leases = leases
        while True:
            flight = cache.leases.enter(fresh, fragment)
            if flight is fresh:
                cache.note_lease(flight)
            if flight is fresh or not flight.is_stalled():
                return flight
            flight.end()

    cdef object load(self, object key, tuple args, dict kwargs):
        cdef Flight flight, fresh
        self.misses += 1
        while True:
            fresh = Flight(key)
            flight = self.join(fresh)
            if flight is fresh and self.cache_has(flight):
                return flight.result()
            if flight.claim(None):
                return self.lead(flight, args, kwargs)
            if flight.loop is not None and flight.loop is running_loop():
                # The task that loads it cannot go on before this thread does.
                self.cache.leases.grant(fresh, flight.fragment)
                self.cache.note_lease(fresh)
                fresh.claim(None)
                return self.lead(fresh, args, kwargs)
            flight.wait()
            found = flight.result()
            if found is not MISS:
                return found

    def cache_has(self, Flight flight not None):
        """Whether a flight that was entered just now came too late, and so has come down."""
        try:
            value = self.cache.peek(flight.key, MISS)
        except BaseException:
            flight.come_down(ABANDONED, None)
            raise
        if value is not MISS:
            flight.come_down(LANDED, value)
        return value is not MISS

    cdef object lead(self, Flight flight, tuple args, dict kwargs):
        cdef int64_t began = boot_now_ns()
        try:
            try:
                value = flight.call(self.function, args, kwargs)
                if isinstance(value, Coroutine):
                    value.close()
                    raise TypeError(
                        f"{self.function!r} returned a coroutine, which can be awaited only once: "
                        "memoize the async def itself"
                    )
            except BaseException as error:
                self.fail(flight, error)
                raise
            self.keep(flight, value, boot_now_ns() - began)
            return value
        finally:  # also when memory ran out on the way down; nobody may wait for it for ever
            flight.come_down(ABANDONED, None)

    def land(self, Flight flight not None, value, int64_t took_ns):
        """Stores what a flight loaded, unless its lease is void, and hands it to all who wait.

        A value that is too large is handed out all the same: the cache has counted it.
        """
        self.keep(flight, value, took_ns)

    cdef int keep(self, Flight flight, value, int64_t took_ns) except -1:
        self.load_ns = took_ns if self.load_ns == 0 else (3 * self.load_ns + took_ns) / 4
        try:
            self.cache._fill(flight, value, self.ttl_s)
        except ValueTooLargeError:
            flight.come_down(LANDED, value)
        except BaseException as error:
            flight.come_down(FAILED if isinstance(error, Exception) else ABANDONED, error)
            raise
        flight.come_down(LANDED, value)
        return 0

    def fail(self, Flight flight not None, error):
        """Raises what a loader raised in all who wait, and keeps it if that was asked for; what is
        no Exception is the loading caller's alone.
        """
        if not isinstance(error, Exception):
            flight.come_down(ABANDONED, None)
            return
        try:
            # A refresh that fails leaves the result that still serves.
            if self.error_ttl_s is not None and self.cache.peek(flight.key, MISS) is MISS:
                self.cache._fill(flight, Kept(error), self.error_ttl_s)
        except (SerializationError, ValueTooLargeError):
            pass
        finally:
            flight.come_down(FAILED, error)

    cdef int refresh(self, object key, int64_t due, tuple args, dict kwargs) except -1:
        cdef Flight fresh = Flight(key)
        if self.join(fresh) is not fresh:
            return 0
        try:
            if self.deadline_of(key) == due:
                self.background(self, fresh, args, kwargs)
                return 0
        except BaseException:
            fresh.come_down(ABANDONED, None)
            raise
        fresh.come_down(ABANDONED, None)
        return 0

    def fly(self, Flight flight not None, tuple args not None, dict kwargs not None):
        """Makes a flight in this thread, unless somebody does."""
        if flight.claim(None):
            self.lead(flight, args, kwargs)
