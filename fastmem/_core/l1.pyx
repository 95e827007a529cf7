"""`L1Cache`: Python objects within a byte budget, by exact LRU or S3-FIFO, over `Entries`."""

from collections.abc import MutableMapping

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t

from fastmem._core.cache cimport used
from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.entries cimport is_exact_copy, is_shared, lookup, lookup_from, slot_at_hand
from fastmem._core.slots cimport Slot
from fastmem._core.table cimport (
    CAUSE_EXPIRED, CAUSE_SIZE, ENTRY_OVERHEAD, GHOST_OVERHEAD, LRU, S3FIFO, Entry, Table,
    is_expired, new_reference, table_choose, table_use,
)

from fastmem._core.cache import MISSING

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned long tp_flags
    unsigned long Py_TPFLAGS_MAPPING
    int METH_FASTCALL, METH_KEYWORDS
    ctypedef struct PyMethodDef:
        void* ml_meth
        int ml_flags
    ctypedef struct PyMethodDescrObject:
        PyMethodDef* d_method

# They return NULL with an exception set, which the caller passes on as it is.
ctypedef PyObject* (*rest)(PyObject*, PyObject**, Py_ssize_t, uint32_t, const Slot*) noexcept
ctypedef PyObject* (*checked)(PyObject*, PyObject**, Py_ssize_t, uint32_t) noexcept

POLICIES = ("lru", "s3fifo")

cdef object MISS = MISSING


cdef PyObject* hit_from(
    L1Cache self, object key, uint32_t fragment, const Slot* slot
) except? NULL:
    cdef uint32_t index
    if slot == NULL:
        index = lookup(self, key, &fragment)
    else:
        index = lookup_from(self, key, fragment, slot)
    if index == 0:
        return NULL
    if is_expired(self.table.entries + index):
        self.expire_at(index)
        return NULL
    if is_shared(self) and not self.is_fresh(index) and self.drop_outdated(index):
        return NULL
    return used(self, index)


cdef inline PyObject* hit(L1Cache self, PyObject* key) except? NULL:
    """The value of a live entry, which counts as used; borrowed. NULL for a miss."""
    cdef uint32_t fragment = 0
    cdef const Slot* slot = slot_at_hand(&self.table, key, &fragment)
    cdef const Entry* entry
    if slot != NULL:
        entry = self.table.entries + slot.entry
        if slot.fragment == fragment and entry.key == key and not is_expired(entry):
            if not is_shared(self) or self.is_fresh(slot.entry):
                return used(self, slot.entry)
    return hit_from(self, <object>key, fragment, slot)


cdef class L1Cache(BulkVerbs):
    """L1Cache(budget_bytes, *, policy='lru', sizer=None)\n--\n
    A mapping in memory that keeps the most useful entries within a byte budget.

    Any hashable key; equal keys are one, as in a dict: ``1``, ``1.0`` and ``True``, also inside
    tuples and frozensets. ``None`` is a value like any other. Every entry counts its key, its value
    (deep, see ``fastmem._core.sizing``) and 80 bytes of ours (104 under ``"s3fifo"``);
    ``used_bytes <= budget_bytes`` after every call. Entries may have a deadline, after which they
    are invisible; ``len`` counts them until something notices.

    ``policy`` says who leaves first. ``"lru"``: the least recently used, exactly; reading an entry,
    replacing or touching it makes it most recent. ``"s3fifo"``: better hit ratios on most loads,
    above all where many keys are asked for once, and cheaper hits, which move nothing. New entries
    queue in a small share of the budget (a tenth; a quarter while there are fewer than 64) and go
    on to the main queue if they were used twice before their turn came; keys that were evicted
    unused and come back soon (within 0.9 budgets of such bytes, and twice as many as there are
    entries) enter the main queue at once. There an entry goes round again for every use since its
    last round, at most three; one eviction lets at most 128 go round. Iteration goes through the
    small queue and then the main one, each from its oldest entry. ``popitem`` takes what the next
    eviction would. ``peek``, ``in`` and iteration are no uses.

    What "deep" does not see: what functions close over, generators, iterators and ctypes pointers
    hold, the text of a ``StringIO``, and what else objects of extension types keep and their
    ``__sizeof__`` leaves out (an ``ElementTree``, say). For values of such a kind give a ``sizer``.
    A memory map counts all that it maps.

    Values are the caller's objects, not copies: an object that grows after its put counts the size
    it had then, until it is put again or leaves, which takes off what it counted; what goes to a
    lower tier, or comes from there, counts what it is then. Replacing an entry also replaces its
    key object.

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

    def __init__(self, budget_bytes, *, policy="lru", sizer=None):
        if policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        if sizer is not None and not callable(sizer):
            raise TypeError(f"sizer must be callable, not {type(sizer).__name__}")
        if not table_choose(&self.table, S3FIFO if policy == "s3fifo" else LRU):
            raise ValueError("the policy of a cache that was used cannot change")
        self.overhead = ENTRY_OVERHEAD + (GHOST_OVERHEAD if policy == "s3fifo" else 0)
        self.resize(budget_bytes)
        self.sizer = sizer

    # ---------------------------------------------------------------- reading

    def get(self, key, default=None):
        """The value of `key`, made most recent, or `default`. O(1); a hit costs about `dict.get`.

        Raises what the key's ``__hash__`` or ``__eq__`` raise.
        """
        cdef PyObject* value = hit(self, <PyObject*>key)
        if value != NULL:
            return <object>value
        found = self.miss(key)
        return default if found is MISS else found

    def __getitem__(self, key):
        cdef PyObject* value = hit(self, <PyObject*>key)
        if value != NULL:
            return <object>value
        found = self.miss(key)
        if found is MISS:
            raise KeyError(key)
        return found

    def peek(self, key, default=None):
        """The value of `key` or `default`, without making it most recent or counting. O(1)."""
        cdef uint32_t index = self.find_live(key)
        return <object>self.table.entries[index].value if index else default

    # ---------------------------------------------------------------- writing

    def put(self, key, value, ttl_seconds=None):
        """Stores `value` as most recent and evicts what the policy says until within budget.

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

    def touch(self, key, ttl_seconds=None):
        """Makes `key` most recent and, with `ttl_seconds`, gives it a new deadline; whether it was
        there. An infinite ttl removes the deadline. O(1). Raises as ``put`` does for a bad ttl.
        """
        cdef int64_t ttl = 0 if ttl_seconds is None else ttl_ns(ttl_seconds)
        cdef uint32_t index = self.find_live(key)
        if index == 0:
            return False
        table_use(&self.table, index)
        if ttl_seconds is not None:
            self.table.entries[index].deadline_ns = deadline_after(ttl)
        return True

    # ---------------------------------------------------------------- state

    def stats(self):
        """Counters since the start, and what is held now.

        ``evictions`` counts by cause, ``errors`` by kind; ``expirations`` counts entries found past
        their deadline, and ``untold`` what left and no listener has heard of yet.
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
            "errors": {
                "listener": self.listener_errors,
                "sizer": self.sizer_errors,
                "too_large": self.too_large,
            },
            "untold": self.count_untold(),
        }

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} object")


MutableMapping.register(L1Cache)
# register() leaves static types alone; with the flag, `match` takes a cache for a mapping.
(<PyTypeObject*>L1Cache).tp_flags |= Py_TPFLAGS_MAPPING


# What Cython's wrapper of `get` spends on owning its arguments is a quarter of a hit; calls without
# keywords come here instead.
cdef PyMethodDef* get_method = (<PyMethodDescrObject*><PyObject*>L1Cache.__dict__["get"]).d_method
get_wrapper = <fastcall>get_method.ml_meth


cdef PyObject* get_rest(
    PyObject* self, PyObject** arguments, Py_ssize_t count, uint32_t fragment, const Slot* slot
) except NULL:
    cdef PyObject* value = hit_from(<L1Cache>self, <object>arguments[0], fragment, slot)
    if value != NULL:
        new_reference(value)
        return value
    found = (<L1Cache>self).miss(<object>arguments[0])
    if found is MISS:
        found = <object>arguments[1] if count == 2 else None
    Py_INCREF(found)
    return <PyObject*>found


cdef PyObject* get_checked(
    L1Cache self, PyObject** arguments, Py_ssize_t count, uint32_t index
) noexcept:
    """Few arguments: what is needed after the calls has to be saved across them."""
    cdef PyObject* value
    if is_expired(self.table.entries + index) or is_shared(self) and not self.is_fresh(index):
        return finish(<PyObject*>self, arguments, count, 0, NULL)
    value = used(self, index)
    new_reference(value)
    return value


cdef PyObject* get_copy(
    L1Cache self, PyObject** arguments, Py_ssize_t count, uint32_t index
) noexcept:
    cdef PyObject* value
    if not is_exact_copy(self, index):
        return check(<PyObject*>self, arguments, count, index)
    value = used(self, index)
    new_reference(value)
    return value


# Called through variables, or the compiler would take them in and `get_positional` would save
# registers that it does not use.
cdef rest finish = <rest>get_rest
cdef checked check = <checked>get_checked
cdef checked compare = <checked>get_copy


cdef PyObject* get_positional(
    PyObject* self, PyObject** arguments, Py_ssize_t count, PyObject* names
) noexcept:
    """`get(key)` and `get(key, default)`. What most hits are, the very str that was stored, no
    deadline, not shared, takes no call and counts no reference but the value's; else others go on.
    """
    cdef const Table* t = &(<L1Cache><void*>self).table
    cdef const Slot* slot
    cdef const Entry* entry
    cdef PyObject* value
    cdef uint32_t fragment = 0
    if names != NULL or count < 1 or count > 2:
        return get_wrapper(self, arguments, count, names)
    slot = slot_at_hand(t, arguments[0], &fragment)
    if slot == NULL:
        return finish(self, arguments, count, 0, NULL)
    # An empty slot, even one with this fragment, leads to the sentinel, which has no key.
    entry = t.entries + slot.entry
    if slot.fragment != fragment or entry.key != arguments[0]:
        return finish(self, arguments, count, fragment, slot)
    if entry.deadline_ns | <int64_t>is_shared(<L1Cache><void*>self):
        return (check if entry.deadline_ns else compare)(self, arguments, count, slot.entry)
    value = used(<L1Cache><void*>self, slot.entry)
    new_reference(value)
    return value


if get_method.ml_flags != METH_FASTCALL | METH_KEYWORDS:
    raise ImportError("this Cython gives `get` another calling convention than what replaces it")
get_method.ml_meth = <void*>get_positional
