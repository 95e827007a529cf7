"""`add`, `incr`, `compare_and_set` and `setdefault`: each is one step to every other thread.

Comparing values and measuring them may run user code, which may change the very entry. So each verb
decides, lets that code run, and then looks again: if the entry is another it starts anew, else what
follows runs no user code.
"""

from cpython.object cimport Py_EQ, PyObject_RichCompareBool
from libc.stdint cimport int64_t, uint32_t

from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.entries cimport lookup, void_lease
from fastmem._core.leases cimport Lease
from fastmem._core.table cimport Displaced, is_expired

from fastmem._core.cache import MISSING

cdef object MISS = MISSING

cdef enum:
    TRIES = 1000


cdef int require_int(object number, str what) except -1:
    if type(number) is not int:
        raise TypeError(f"{what} must be an int, not {type(number).__name__}")
    return 0


cdef class ConditionalVerbs(Shell):
    """What a cache does only if the key is, or is not, what the caller thinks."""

    cdef uint32_t locate(self, object key, Place* at) except? 4294967295:
        at.index = lookup(self, key, &at.fragment)
        at.stamp = self.table.slots.stamp
        self.require_open()
        return at.index if at.index and not is_expired(self.table.entries + at.index) else 0

    cdef uint32_t again(self, object key, Place* at) except? 4294967295:
        if self.table.slots.stamp != at.stamp:
            return self.locate(key, at)
        return at.index if at.index and not is_expired(self.table.entries + at.index) else 0

    cdef uint32_t find_doomed(self, object key) except? 4294967295:
        cdef Place at
        cdef uint32_t index = self.locate(key, &at)
        if index == 0:
            void_lease(self, at.fragment)
            if at.index:
                self.expire_at(at.index)
        return index

    cdef object value_at(self, uint32_t index):
        return <object>self.table.entries[index].value if index else MISS

    def add(self, key, value, ttl_seconds=None):
        """Stores `value` as ``put`` does, but only if `key` is absent; whether it did.

        Of any number of threads that add one absent key, exactly one gets True. O(1) when the key
        is there, and then nothing changes, recency included. Raises as ``put`` does.

        >>> from fastmem import L1Cache
        >>> cache = L1Cache(1_000_000)
        >>> cache.add("lock:7", "worker 1", ttl_seconds=30), cache.add("lock:7", "worker 2")
        (True, False)
        """
        cdef Displaced out = [0, 0, 0]
        cdef Place at
        cdef int64_t size, ttl = ttl_ns(ttl_seconds)
        if self.locate(key, &at):
            return False
        size = self.entry_size(key, value)
        if self.again(key, &at):
            return False
        self.install_at(at.index, at.fragment, key, value, size, deadline_after(ttl), 0, 0, &out)
        self.release(&out)
        return True

    def incr(self, key, delta=1, *, initial=0, ttl_seconds=None):
        """Adds `delta` to the int that `key` holds and returns the sum. O(1).

        No increment of any thread is lost. The entry becomes most recent and keeps its deadline. A
        missing key counts from `initial`, with the deadline that `ttl_seconds` gives, which
        otherwise has no effect; with ``initial=None`` it is a ``KeyError``. Raises ``TypeError``
        when the value, `delta` or `initial` is not an exact int, and as ``put`` does; then nothing
        has changed.

        >>> from fastmem import L1Cache
        >>> cache = L1Cache(1_000_000)
        >>> cache.incr("hits:10.0.0.1", ttl_seconds=60), cache.incr("hits:10.0.0.1", 5)
        (1, 6)
        """
        cdef Displaced out = [0, 0, 0]
        cdef Place at
        cdef uint32_t index
        cdef int64_t size, deadline, ttl = ttl_ns(ttl_seconds)
        require_int(delta, "delta")
        if initial is not None:
            require_int(initial, "initial")
        for _ in range(TRIES):
            held = self.value_at(self.locate(key, &at))
            if held is MISS:
                if initial is None:
                    raise KeyError(key)
                total = initial + delta
            else:
                if type(held) is not int:
                    raise TypeError(f"{key!r} holds no int but {type(held).__name__}: no incr")
                total = held + delta
            size = self.entry_size(key, total)
            index = self.again(key, &at)
            if self.value_at(index) is not held:
                continue
            if index:
                deadline = self.table.entries[index].deadline_ns
            else:
                deadline = deadline_after(ttl)
            self.install_at(at.index, at.fragment, key, total, size, deadline, 0, 0, &out)
            self.release(&out)
            return total
        raise RuntimeError(f"{key!r} changed {TRIES} times while incr measured its value")

    def compare_and_set(self, key, expected, new, ttl_seconds=None):
        """Replaces the value of `key` by `new` if it is `expected`, or equals it; whether it did.

        Identity is asked first, then ``==``, so 1, 1.0 and True are one. Whatever the comparison
        runs, the value replaced is the one that was compared: of any number of threads that expect
        one value exactly one succeeds. The entry keeps its deadline unless `ttl_seconds` gives a
        new one (infinity: none), as with ``touch``. An absent key equals nothing: see ``add``. O(1)
        and the deep size of `new`. Raises as ``put`` does, and what the comparison raises.

        >>> from fastmem import L1Cache
        >>> cache = L1Cache(1_000_000)
        >>> cache["state"] = "queued"
        >>> cache.compare_and_set("state", "queued", "running")
        True
        >>> cache.compare_and_set("state", "queued", "running")
        False
        """
        cdef Displaced out = [0, 0, 0]
        cdef Place at
        cdef uint32_t index
        cdef bint same
        cdef int64_t size, deadline, ttl = ttl_ns(ttl_seconds)
        for _ in range(TRIES):
            held = self.value_at(self.locate(key, &at))
            if held is MISS:
                return False
            same = PyObject_RichCompareBool(held, expected, Py_EQ)
            size = self.entry_size(key, new) if same else 0
            index = self.again(key, &at)
            if self.value_at(index) is not held:
                continue
            if not same:
                return False
            if ttl_seconds is None:
                deadline = self.table.entries[index].deadline_ns
            else:
                deadline = deadline_after(ttl)
            self.install_at(at.index, at.fragment, key, new, size, deadline, 0, 0, &out)
            self.release(&out)
            return True
        raise RuntimeError(f"{key!r} changed {TRIES} times while its value was compared")

    def _fill(self, Lease lease not None, value, ttl_seconds=None):
        """Stores what was loaded for a lease's key, only while that is held; whether it did."""
        cdef Displaced out = [0, 0, 0]
        cdef Place at
        cdef int64_t size, ttl = ttl_ns(ttl_seconds)
        if not lease.held:
            return False
        size = self.entry_size(lease.key, value)
        self.locate(lease.key, &at)
        if not lease.held:
            return False
        self.install_at(
            at.index, at.fragment, lease.key, value, size, deadline_after(ttl), 0, 0, &out
        )
        self.release(&out)
        return True

    def setdefault(self, key, default=None):
        """The value of `key` as ``get`` finds it; on a miss `default`, stored as by ``put``.

        Of several threads that find the key absent, one stores and all return its value. Raises as
        ``put`` does.
        """
        while True:
            found = self.get(key, MISS)
            if found is not MISS or self.add(key, default):
                return default if found is MISS else found
