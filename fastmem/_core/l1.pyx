"""`L1Cache`: an exact LRU of Python objects within a byte budget. The structure is in table.pxd."""

import os
from collections.abc import Mapping, MutableMapping

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.number cimport PyIndex_Check
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

from fastmem._core.clock cimport coarse_now_ns, deadline_after, ttl_ns
from fastmem._core.sizing cimport size_of
from fastmem._core.table cimport (
    CAUSE_CLEARED, CAUSE_DELETED, CAUSE_EXPIRED, CAUSE_SIZE, ENTRY_OVERHEAD, FLAG_MASK, HIT_SHIFT,
    LIVE, Slot, first_slot, fragment_of, is_exact, key_hash, lru_hit, lru_victim, same_key,
    table_check, table_clear, table_displace, table_free, table_give_back, table_init,
    table_insert, table_longest_probe, table_release, table_replace, table_reserve, table_shrink, table_take, table_trim,
)

from fastmem._core.views cimport KEYS, iterate

from fastmem._core.views import CacheItems, CacheKeys, CacheValues
from fastmem.errors import ClosedError, KeyTypeError, ValueTooLargeError

cdef extern from "Python.h":
    # As CPython declares them: a visit may return anything, and raises nothing.
    ctypedef int (*visitproc)(PyObject*, void*) noexcept
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear
    PyTypeObject* type_of "Py_TYPE"(object o) noexcept
    bint Py_EnterRecursiveCall(const char* where) noexcept  # true, not -1, with RecursionError set
    void Py_LeaveRecursiveCall() noexcept

POLICIES = ("lru",)


class _Missing:
    """The type of MISSING, which no key maps to unless someone stores it on purpose."""

    __slots__ = ()

    def __repr__(self):
        return "MISSING"


MISSING = _Missing()
cdef object MISS = MISSING

cdef enum:
    LOOKUP_TRIES = 1000

cdef uint32_t HITS_FULL = 0xFFFFFF00
cdef int64_t BUDGET_MAX = <int64_t>1 << 61


cdef int require_plain(object key) except -1:
    """KeyTypeError unless the key is exact str, bytes, int or an exact tuple of these."""
    if is_exact(type_of(key)):
        return 0
    if type(key) is not tuple:
        raise KeyTypeError(f"keys are str, bytes, int or tuples of these, not {type(key).__name__}")
    if Py_EnterRecursiveCall(" in a tuple key"):
        return -1
    try:
        for part in <tuple>key:
            require_plain(part)
    finally:
        Py_LeaveRecursiveCall()
    return 0


cdef int64_t whole_number(object number, str what) except -1:
    """A caller's or a sizer's count of bytes, saturated where two of them still add up."""
    if PyBool_Check(number) or not PyIndex_Check(number):
        raise TypeError(f"{what} must be an int, not {type(number).__name__}")
    number = number.__index__()
    if number < 0:
        raise ValueError(f"{what} must not be negative, got {number}")
    return BUDGET_MAX if number > BUDGET_MAX else <int64_t>number


cdef int64_t budget_of(object budget_bytes) except -1:
    cdef int64_t budget = whole_number(budget_bytes, "budget_bytes")
    if budget == 0:
        raise ValueError("budget_bytes must be positive")
    return budget


cdef inline uint32_t lookup(L1Cache self, object key, uint32_t* fragment) except? 4294967295:
    cdef Slot* slot
    cdef int same
    if not is_exact(type_of(key)) and self.strict_keys:
        require_plain(key)
    fragment[0] = fragment_of(self.table.seed, key_hash(key))
    slot = first_slot(&self.table, fragment[0])
    while slot.fragment == fragment[0]:
        if slot.entry == 0:
            break
        same = same_key(self.table.entries[slot.entry].key, <PyObject*>key)
        if same > 0:
            return slot.entry
        if same < 0:
            return self.find_by_eq(key, fragment[0])
        slot += 1
    return 0


cdef inline bint is_expired(const Entry* entry) noexcept:
    return entry.deadline_ns != 0 and coarse_now_ns() >= entry.deadline_ns


cdef inline void mark_use(Table* t, uint32_t index) noexcept:
    if t.entries[index].meta < HITS_FULL:
        t.entries[index].meta += 1 << HIT_SHIFT
    lru_hit(t.entries, index)


@cython.trashcan(True)
cdef class L1Cache:
    """A mapping in memory that keeps the most recently used entries within a byte budget.

    Any hashable key; ``None`` is a value like any other. Every entry counts its key, its value
    (deep, see ``fastmem._core.sizing``) and 80 bytes of ours; ``used_bytes <= budget_bytes`` after
    every call. Reading an entry makes it most recent; the least recent leave first. Entries may
    have a deadline, after which they are invisible; ``len`` counts them until something notices.

    Values are the caller's objects, not copies: an object that grows after its put is counted at
    the size it had then. Replacing an entry also replaces its key object.

    Safe to use from threads, and from the ``__eq__``, ``__hash__``, ``__del__`` and sizers it
    calls: those run only while the structure is whole. An operation that raises changes nothing.

    ``sizer``: a callable that returns the bytes of a value as an int, in place of deep sizing.

    >>> cache = L1Cache(1_000_000)
    >>> cache.put("user:1", {"name": "Ada"}, ttl_seconds=60)
    >>> cache.get("user:1")
    {'name': 'Ada'}
    >>> cache.get("user:2", "nobody")
    'nobody'
    """

    def __cinit__(self):
        table_init(&self.table, <uint64_t>int.from_bytes(os.urandom(8), "little"))

    def __init__(self, budget_bytes, *, policy="lru", sizer=None):
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        if sizer is not None and not callable(sizer):
            raise TypeError(f"sizer must be callable, not {type(sizer).__name__}")
        self.resize(budget_bytes)
        self.sizer = sizer

    def __dealloc__(self):
        cdef Displaced out = [0, 0, 0]
        if self.table.entries != NULL:
            table_clear(&self.table, CAUSE_CLEARED, &out)
            table_release(&self.table, &out)
        table_free(&self.table)

    # ---------------------------------------------------------------- the seam of l1.pxd

    cdef uint32_t find(self, object key) except? 4294967295:
        cdef uint32_t fragment
        return lookup(self, key, &fragment)

    cdef uint32_t find_by_eq(self, object key, uint32_t fragment) except? 4294967295:
        """Lookup where only `==` can tell. That may change the table; then it starts again."""
        cdef Table* t = &self.table
        cdef Slot* slot
        cdef uint64_t stamp
        cdef uint32_t index
        cdef int same
        for _ in range(LOOKUP_TRIES):
            stamp = t.stamp
            slot = first_slot(t, fragment)
            while slot.fragment == fragment and slot.entry:
                index = slot.entry
                same = same_key(t.entries[index].key, <PyObject*>key)
                if same < 0:
                    stored = <object>t.entries[index].key
                    same = PyObject_RichCompareBool(stored, key, Py_EQ)
                    stored = None  # perhaps the last reference: may run __del__, so before the check
                    if t.stamp != stamp:
                        break
                if same:
                    return index
                slot += 1
            else:
                return 0
        raise RuntimeError(f"comparing keys changed the cache {LOOKUP_TRIES} times in one lookup")

    cdef uint32_t find_live(self, object key) except? 4294967295:
        cdef uint32_t fragment, index = lookup(self, key, &fragment)
        if index == 0:
            self.require_open()
        elif is_expired(self.table.entries + index):
            self.expire_at(index)
            return 0
        return index

    cdef int expire_at(self, uint32_t index) except -1:
        cdef Displaced out = [0, 0, 0]
        table_displace(&self.table, index, CAUSE_EXPIRED, &out)
        return self.release(&out)

    cdef Entry* entry_at(self, uint32_t index) noexcept:
        return self.table.entries + index

    cdef void use(self, uint32_t index) noexcept:
        mark_use(&self.table, index)

    cdef int install(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, uint64_t version,
        uint32_t flags, Displaced* out,
    ) except -1:
        cdef Table* t = &self.table
        cdef Entry* entry
        cdef uint32_t fragment = 0, fresh
        cdef uint32_t index = lookup(self, key, &fragment)
        # From here on no user code runs, and what can fail comes before what changes.
        self.require_open()
        if size_bytes > self.budget:
            self.too_large += 1
            raise ValueTooLargeError(size_bytes, self.budget)
        fresh = table_take(t)
        if index == 0:
            try:
                table_reserve(t, fragment)
            except MemoryError:
                table_give_back(t, fresh)
                raise
        entry = t.entries + fresh
        Py_INCREF(key)
        Py_INCREF(value)
        entry.key = <PyObject*>key
        entry.value = <PyObject*>value
        entry.deadline_ns = deadline_ns
        entry.size_bytes = size_bytes
        entry.version = version
        entry.put_ns = coarse_now_ns()
        entry.fragment = fragment
        entry.meta = flags & FLAG_MASK
        if index:
            table_replace(t, index, fresh, out)
        else:
            table_insert(t, fresh)
        table_shrink(t, self.budget, out)
        return 0

    cdef int discard(self, object key, uint32_t cause, Displaced* out) except -1:
        cdef uint32_t fragment, index = lookup(self, key, &fragment)
        if index:
            table_displace(&self.table, index, cause, out)
        return index != 0

    cdef void discard_at(self, uint32_t index, uint32_t cause, Displaced* out) noexcept:
        table_displace(&self.table, index, cause, out)

    cdef void shrink_to(self, int64_t budget_bytes, Displaced* out) noexcept:
        table_shrink(&self.table, budget_bytes, out)

    cdef void discard_all(self, Displaced* out) noexcept:
        table_clear(&self.table, CAUSE_CLEARED, out)

    cdef int release(self, Displaced* out) except -1:
        if out.causes & (1 << CAUSE_SIZE | 1 << CAUSE_EXPIRED):
            try:
                self.on_victims(out)
            finally:
                table_release(&self.table, out)
        else:
            table_release(&self.table, out)
        return 0

    cdef object on_miss(self, object key):
        return MISS

    cdef int on_victims(self, Displaced* out) except -1:
        return 0

    cdef int require_open(self) except -1:
        if self.closed_:
            raise ClosedError("the cache is closed")
        return 0

    cdef int64_t entry_size(self, object key, object value) except -1:
        cdef int64_t size
        if self.sizer is None:
            size = size_of(value)
        else:
            try:
                size = whole_number(self.sizer(value), "what a sizer returns")
            except BaseException:
                self.sizer_errors += 1
                raise
        return size_of(key) + size + ENTRY_OVERHEAD

    cdef object miss(self, object key):
        self.require_open()
        self.misses += 1
        return self.on_miss(key)

    cdef int store(self, object key, object value, int64_t ttl) except -1:
        cdef Displaced out = [0, 0, 0]
        cdef int64_t size
        self.require_open()
        size = self.entry_size(key, value)
        self.install(key, value, size, deadline_after(ttl) if ttl else 0, 0, 0, &out)
        self.release(&out)
        return 0

    # ---------------------------------------------------------------- reading

    def get(self, key, default=None):
        """The value of `key`, made most recent, or `default`. O(1); a hit costs about `dict.get`.

        Raises what the key's ``__hash__`` or ``__eq__`` raise.
        """
        cdef uint32_t fragment, index = lookup(self, key, &fragment)
        if index:
            if not is_expired(self.table.entries + index):
                self.hits += 1
                mark_use(&self.table, index)
                return <object>self.table.entries[index].value
            self.expire_at(index)
        found = self.miss(key)
        return default if found is MISS else found

    def __getitem__(self, key):
        cdef uint32_t fragment, index = lookup(self, key, &fragment)
        if index:
            if not is_expired(self.table.entries + index):
                self.hits += 1
                mark_use(&self.table, index)
                return <object>self.table.entries[index].value
            self.expire_at(index)
        found = self.miss(key)
        if found is MISS:
            raise KeyError(key)
        return found

    def peek(self, key, default=None):
        """The value of `key` or `default`, without making it most recent or counting. O(1)."""
        cdef uint32_t index = self.find_live(key)
        return <object>self.table.entries[index].value if index else default

    def __contains__(self, key):
        return self.find_live(key) != 0

    def __len__(self):
        self.require_open()
        return self.table.live

    # ---------------------------------------------------------------- writing

    def put(self, key, value, ttl_seconds=None):
        """Stores `value` as most recent and evicts least recent entries until within budget.

        `ttl_seconds`: int, float or timedelta until the entry becomes invisible; ``None`` and
        infinity never. O(1) and the deep size of the value, plus what is evicted.
        Raises ``ValueTooLargeError`` when the entry alone exceeds the budget, ``ValueError`` for a
        ttl of zero, negative or NaN, ``TypeError`` for one of another type, ``ClosedError``, and
        what the key, the sizer or a ``__sizeof__`` raise; then nothing has changed.
        """
        self.store(key, value, 0 if ttl_seconds is None else ttl_ns(ttl_seconds))

    def __setitem__(self, key, value):
        self.store(key, value, 0)

    def __delitem__(self, key):
        if not self.delete(key):
            raise KeyError(key)

    def delete(self, key):
        """Removes `key`; whether it was there. O(1)."""
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find_live(key)
        if index == 0:
            return False
        table_displace(&self.table, index, CAUSE_DELETED, &out)
        self.release(&out)
        return True

    def pop(self, key, default=MISS):
        """Removes `key` and returns its value; `default`, or else ``KeyError``, on a miss. O(1)."""
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find_live(key)
        if index == 0:
            if default is MISS:
                raise KeyError(key)
            return default
        value = <object>self.table.entries[index].value
        table_displace(&self.table, index, CAUSE_DELETED, &out)
        self.release(&out)
        return value

    def popitem(self):
        """Removes the next victim, the least recent entry, and returns ``(key, value)``. O(1).

        Raises ``KeyError`` when the cache is empty.
        """
        cdef Displaced out = [0, 0, 0]
        cdef Entry* entry
        cdef uint32_t index
        # Made first: a failing allocation changes nothing, and a collection happens before the look.
        cdef tuple item = PyTuple_New(2)
        while True:
            self.require_open()
            index = lru_victim(&self.table)
            if index == 0:
                raise KeyError("popitem(): the cache is empty")
            entry = self.table.entries + index
            if not is_expired(entry):
                break
            self.expire_at(index)
        Py_INCREF(<object>entry.key)
        Py_INCREF(<object>entry.value)
        PyTuple_SET_ITEM(item, 0, <object>entry.key)
        PyTuple_SET_ITEM(item, 1, <object>entry.value)
        table_displace(&self.table, index, CAUSE_DELETED, &out)
        self.release(&out)
        return item

    def setdefault(self, key, default=None):
        """The value of `key` as ``get`` finds it; on a miss `default`, stored as by ``put``."""
        found = self.get(key, MISS)
        if found is MISS:
            self.store(key, default, 0)
            return default
        return found

    def update(self, other=(), /, **more):
        """Stores every pair of a mapping or of an iterable of pairs, then the keywords."""
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            other = [(key, other[key]) for key in other.keys()]
        for key, value in other:
            self[key] = value
        for key, value in more.items():
            self[key] = value

    def touch(self, key, ttl_seconds=None):
        """Makes `key` most recent and, with `ttl_seconds`, gives it a new deadline; whether it was
        there. An infinite ttl removes the deadline. O(1). Raises as ``put`` does for a bad ttl.
        """
        cdef int64_t ttl = 0 if ttl_seconds is None else ttl_ns(ttl_seconds)
        cdef uint32_t index = self.find_live(key)
        if index == 0:
            return False
        lru_hit(self.table.entries, index)
        if ttl_seconds is not None:
            self.table.entries[index].deadline_ns = deadline_after(ttl) if ttl else 0
        return True

    def clear(self):
        """Removes everything; counters stay. O(entries)."""
        cdef Displaced out = [0, 0, 0]
        self.require_open()
        table_clear(&self.table, CAUSE_CLEARED, &out)
        self.release(&out)
        table_trim(&self.table)

    def expire(self):
        """Removes every entry past its deadline and returns how many there were. O(entries)."""
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index, newer, count = 0
        self.require_open()
        index = lru_victim(&self.table)
        while index:
            newer = self.table.entries[index].prev
            if is_expired(self.table.entries + index):
                table_displace(&self.table, index, CAUSE_EXPIRED, &out)
                count += 1
            index = newer
        self.release(&out)
        return count

    def resize(self, budget_bytes):
        """Sets the budget and evicts least recent entries until within it.

        Raises ``TypeError`` or ``ValueError`` for what is not a positive int.
        """
        cdef Displaced out = [0, 0, 0]
        cdef int64_t budget = budget_of(budget_bytes)
        self.require_open()
        self.budget = budget
        table_shrink(&self.table, budget, &out)
        self.release(&out)

    # ---------------------------------------------------------------- iteration

    def __iter__(self):
        self.require_open()
        return iterate(self, &self.table, KEYS)

    def _iterate(self, int kind):
        """For the views: keys, values or items."""
        self.require_open()
        return iterate(self, &self.table, kind)

    def keys(self):
        """A set-like view of the keys, from the next victim to the most recent.

        Iterators never raise for changes made meanwhile: they go through the keys present at their
        start (8 bytes each) and skip those that have gone. They change no recency.
        """
        return CacheKeys(self)

    def values(self):
        """A view of the values, in the order of ``keys()``."""
        return CacheValues(self)

    def items(self):
        """A view of ``(key, value)`` pairs, in the order of ``keys()``."""
        return CacheItems(self)

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    # ---------------------------------------------------------------- state

    @property
    def budget_bytes(self):
        """The most that ``used_bytes`` may be."""
        return self.budget

    @property
    def used_bytes(self):
        """Bytes of all keys and values, and 80 for each entry."""
        return self.table.used_bytes

    @property
    def closed(self):
        """Whether ``close()`` was called."""
        return self.closed_

    def stats(self):
        """Counters since the start, and what is held now.

        ``evictions`` counts by cause, ``errors`` by kind; ``expirations`` counts entries found past
        their deadline.
        """
        self.require_open()
        return {
            "entries": self.table.live,
            "bytes": self.table.used_bytes,
            "budget": self.budget,
            "hits": self.hits,
            "misses": self.misses,
            "expirations": self.table.counts[CAUSE_EXPIRED],
            "evictions": {"size": self.table.counts[CAUSE_SIZE]},
            "errors": {"sizer": self.sizer_errors, "too_large": self.too_large},
        }

    def close(self):
        """Removes everything; every later use raises ``ClosedError``. Closing again does nothing."""
        cdef Displaced out = [0, 0, 0]
        if self.closed_:
            return
        self.closed_ = True
        table_clear(&self.table, CAUSE_CLEARED, &out)
        self.release(&out)
        table_trim(&self.table)

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.closed_:
            return f"<{name} closed>"
        return (
            f"<{name} {self.table.live:,} entries, "
            f"{self.table.used_bytes:,} of {self.budget:,} bytes>"
        )

    # ---------------------------------------------------------------- for tests

    def _check(self):
        """Walks every invariant; ``AssertionError`` with details."""
        table_check(&self.table)
        assert self.closed_ or self.table.used_bytes <= self.budget, "over budget"

    def _longest_probe(self):
        """The most slots a search walks from a fragment's home."""
        return table_longest_probe(&self.table)

    def _arena_bytes(self):
        """What slots and entries occupy, used or not."""
        return self.table.slot_total * sizeof(Slot) + self.table.entry_capacity * sizeof(Entry)

    def _set_deadline(self, key, int64_t deadline_ns):
        """Moves the deadline of a live entry, in nanoseconds of CLOCK_BOOTTIME."""
        cdef uint32_t index = self.find(key)
        if index == 0:
            raise KeyError(key)
        self.table.entries[index].deadline_ns = deadline_ns


MutableMapping.register(L1Cache)


# Cython traverses the members it knows; the references in the arena are added here, once, on the
# type itself, so that subclasses of any kind inherit it. Displaced entries still own references.

cdef traverseproc traverse_members = (<PyTypeObject*>L1Cache).tp_traverse
cdef inquiry clear_members = (<PyTypeObject*>L1Cache).tp_clear


cdef int traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    """In a collection: touches no reference count, allocates and waits for nothing."""
    cdef const Table* t = table_of(self)
    cdef const Entry* entry
    cdef uint32_t i
    cdef int stop
    for i in range(1, t.entry_high):
        entry = t.entries + i
        if entry.key != NULL:
            stop = visit(<PyObject*>entry.key, arg)
            if stop == 0:
                stop = visit(<PyObject*>entry.value, arg)
            if stop:
                return stop
    return traverse_members(self, visit, arg)


cdef int clear(PyObject* self) noexcept:
    """Breaks the cycles of an unreachable cache: it becomes empty, and stays usable."""
    cdef Displaced out = [0, 0, 0]
    cdef Table* t = table_of(self)
    table_clear(t, CAUSE_CLEARED, &out)
    table_release(t, &out)
    return clear_members(self)


cdef inline Table* table_of(PyObject* self) noexcept:
    return &(<L1Cache><void*>self).table


(<PyTypeObject*>L1Cache).tp_traverse = traverse
(<PyTypeObject*>L1Cache).tp_clear = clear
