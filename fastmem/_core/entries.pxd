"""The entries of a cache, and the seam on which the tiers are built.

Composition rule: everything here runs under the GIL and never releases it by itself. The functions
marked ATOMIC run no user code at all, so any sequence of them is one step to every other thread.
`find` (and `install` through it) may run the `__hash__` and `__eq__` of keys, but only of keys that
are neither exact str, bytes, int nor exact tuples of these; with `strict_keys` set there are no
others, and find + install is ATOMIC too.

    cdef Displaced out = [0, 0, 0]
    self.install(key, value, size, deadline, version, DIRTY, &out)   # raising, it leaves out empty
    self.release(&out)                                   # on_victims, then the references go
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.key_types cimport require_exact
from fastmem._core.layout cimport fm_peek
from fastmem._core.leases cimport Lease, Leases
from fastmem._core.slots cimport Slot
from fastmem._core.stamps cimport Stamps, stamp_holds
from fastmem._core.table cimport (
    HIT_SHIFT, Displaced, Entry, Table, first_slot, fragment_of, hash_at_hand, is_exact, is_expired,
    key_hash, same_key, table_use,
)

cdef extern from "Python.h":
    void* type_of "Py_TYPE"(object o) noexcept

cdef enum:
    HITS_FULL = 0xFFFFFF00

# Lookups return 4294967295 when they raise; no entry has that index.


# The trashcan is asked for here, where subclasses in other units see it: chains of any length can
# be dropped.
@cython.trashcan(True)
cdef class Entries:
    cdef Table table
    cdef object sizer
    cdef object __weakref__
    cdef int64_t budget
    cdef int64_t overhead  # bytes that an entry counts beside its key and value
    cdef uint64_t sizer_errors
    cdef uint64_t too_large
    # Set by a subclass before first use: keys other than exact str, bytes, int and exact tuples of
    # these are a KeyTypeError in every call: True or 1.0 never matches 1. Free for exact keys.
    cdef bint strict_keys
    cdef bint closed_
    cdef Leases leases             # None until something is loaded under a lease
    # Not 0: others may change what the entries are copies of, and every hit asks `is_fresh`. Leads
    # to a 0 in a cache that holds no copies. It may lie in a file: see `is_shared`.
    cdef const uint64_t* shared
    cdef Stamps stamps
    # Bit set of 1 << CAUSE_*: what leaves for one of these is shown to on_victims.
    cdef uint32_t watched

    # --- lookup
    # Index of the live entry, expired or not, or 0. Raises what `__hash__` or `__eq__` raise,
    # KeyTypeError under strict_keys.
    cdef uint32_t find(self, object key) except? 4294967295
    # ATOMIC. Valid until the next install; an index lives until its entry is displaced.
    cdef Entry* entry_at(self, uint32_t index) noexcept

    # --- changes
    # Inserts or replaces as most recent, then evicts until within budget. Raises ValueTooLargeError
    # (size over budget), ClosedError or MemoryError with nothing changed.
    # Victims and the replaced entry are appended to `out` whole: key, value, deadline_ns,
    # size_bytes, version, put_ns and flags stay readable in the entries.
    cdef int install(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, uint64_t version,
        uint32_t flags, Displaced* out,
    ) except -1
    # ATOMIC. The same for one who has looked the key up and run no user code since: `index` is that
    # of the entry, expired or not, or 0; `fragment` the key's.
    cdef int install_at(
        self, uint32_t index, uint32_t fragment, object key, object value, int64_t size_bytes,
        int64_t deadline_ns, uint64_t version, uint32_t flags, Displaced* out,
    ) except -1
    # install_at and release in one, over an entry that is there and by one who does not look at
    # what it held.
    cdef int overwrite(
        self, uint32_t index, object key, object value, int64_t size_bytes, int64_t deadline_ns
    ) except -1
    # Removes, for CAUSE_EXPIRED if it is; 1 if it was there, 0 if not.
    cdef int discard(self, object key, uint32_t cause, Displaced* out) except -1
    # ATOMIC. Removes the live entry at `index`.
    cdef void discard_at(self, uint32_t index, uint32_t cause, Displaced* out) noexcept
    # ATOMIC. Displaces everything.
    cdef void discard_all(self, Displaced* out) noexcept
    # Ends a change: calls on_victims if an entry left for a `watched` cause, then drops every
    # displaced reference (which runs `__del__`), also when the hook raises. Empties `out`.
    cdef int release(self, Displaced* out) except -1

    # --- hook, called with the structure whole; does nothing here
    # Looks at what is on its way out, before any reference is dropped. Walk it so (user code may
    # move the arena between steps, indices stay):
    #     index = out.head
    #     while index:
    #         entry = self.entry_at(index)    # entry.prev is the CAUSE_*, entry.meta the flags
    #         index = entry.next
    # Or take the chain (out[0] = [0, 0, 0]): table_release drops it later. Until it returns, other
    # threads (if it lets them run) find a victim neither here nor below.
    cdef int on_victims(self, Displaced* out) except -1

    # --- hooks of copies, asked while `shared` is not 0
    # Whether a hit may return the live entry as it is. Quick: False may also mean that only a
    # longer look can tell.
    cdef bint is_fresh(self, uint32_t index) noexcept
    # After that look: removes the entry and returns True when it is no longer what it was made of.
    # Runs user code only if it does.
    cdef bint drop_outdated(self, uint32_t index) except -1
    # ATOMIC. A lease was granted.
    cdef void note_lease(self, Lease lease) noexcept

    # --- shared by the public methods
    # ValueTooLargeError, or ClosedError.
    cdef int require_room(self, int64_t size_bytes) except -1
    cdef int require_open(self) except -1
    # Size of an entry as the budget counts it: key, value by the sizer or deeply, overhead.
    # Runs user code; ATOMIC for plain values without a sizer.
    cdef int64_t entry_size(self, object key, object value) except -1
    # `lookup_live` of a cache that is open.
    cdef uint32_t find_live(self, object key) except? 4294967295
    cdef uint32_t find_by_eq(self, object key, uint32_t fragment) except? 4294967295
    cdef int expire_at(self, uint32_t index) except -1
    # Removes everything and gives memory back.
    cdef int empty(self) except -1


cdef inline const Slot* slot_at_hand(const Table* t, PyObject* key, uint32_t* fragment) noexcept:
    """Where an exact str whose hash is known has its entry, if anywhere; NULL for other keys."""
    cdef Py_hash_t hash = hash_at_hand(key)
    if hash == -1:
        return NULL
    fragment[0] = fragment_of(t.seed, hash)
    return first_slot(t, fragment[0])


cdef inline uint32_t lookup_from(
    Entries self, object key, uint32_t fragment, const Slot* slot
) except? 4294967295:
    """The rest of a lookup, from the first slot that does not hold a smaller fragment."""
    cdef int same
    while slot.fragment == fragment and slot.entry:
        same = same_key(self.table.entries[slot.entry].key, <PyObject*>key)
        if same > 0:
            return slot.entry
        if same < 0:
            return self.find_by_eq(key, fragment)
        slot += 1
    return 0


cdef inline uint32_t lookup(Entries self, object key, uint32_t* fragment) except? 4294967295:
    """`find`, giving the key's fragment too."""
    if not is_exact(type_of(key)) and self.strict_keys:
        require_exact(key)
    fragment[0] = fragment_of(self.table.seed, key_hash(key))
    return lookup_from(self, key, fragment[0], first_slot(&self.table, fragment[0]))


cdef inline uint64_t is_shared(Entries self) noexcept:
    """Not 0 too where the page that would tell is missing."""
    return fm_peek(self.shared)


cdef inline uint32_t lookup_live(Entries self, object key) except? 4294967295:
    """The live entry of a key, or 0; one that is expired or outdated leaves."""
    cdef uint32_t fragment, index = lookup(self, key, &fragment)
    if index and is_expired(self.table.entries + index):
        self.expire_at(index)
        return 0
    if index and is_shared(self) and not self.is_fresh(index) and self.drop_outdated(index):
        return 0
    return index


# ATOMIC, all below.
# Whoever is loading the key may no longer store it. The changes above see to it themselves; what
# leaves by size or deadline voids nothing.
cdef inline void void_lease(Entries self, uint32_t fragment) noexcept:
    if self.leases is not None:
        self.leases.void(fragment)


# What most hits need of `is_fresh`: False where that has more to tell.
cdef inline bint is_exact_copy(Entries self, uint32_t index) noexcept:
    return index < self.stamps.exact and stamp_holds(&self.stamps, index)


cdef inline void mark_use(Table* t, uint32_t index) noexcept:
    if t.entries[index].meta < HITS_FULL:
        t.entries[index].meta += 1 << HIT_SHIFT
    table_use(t, index)
