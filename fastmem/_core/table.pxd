"""The table of L1: slots, entries that lie inline in one arena, and the policy.

slots    find an entry by its fragment: slots.pxd.
entries  exactly one cache line each, in a cache-line aligned arena. Entry 0 is the sentinel of the
         ring of live entries, entry 1 a second one where the policy has two queues. An entry is
           live      in the slots and the ring, flag LIVE set, its size in `used_bytes`;
           displaced out of both, still owning its references, chained by `next` in a `Displaced`;
           free      key and value NULL, chained by `next` from `free_head`; or
           unused    index >= `entry_high`.
policy   who leaves first. `lru`: the ring is in order of use, `next` of the sentinel the latest and
         `prev` the least recent. `s3fifo`: the ring is two queues in order of arrival: from
         sentinel 0 along `next` the main queue, youngest first, then sentinel 1, then the small
         queue. New entries come to the small queue, those still remembered as ghosts to the main
         one; a hit raises a counter up to 3 and links nothing. policies.pyx has the rest.

No function here runs user code except `table_release`, none releases the GIL, and none but those
marked `except -1` (MemoryError, before anything is changed) can fail.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.ghosts cimport Ghosts
from fastmem._core.slots cimport Slot, Slots, slots_first

cdef extern from *:
    """
    #ifndef FASTMEM_TABLE
    #define FASTMEM_TABLE
    #include <stdint.h>
    #include <string.h>
    #include "hashes.h"

    /* Secret seed, then one widening multiplication folded over itself: neither consecutive
       integers nor integers made from the multiplier's inverse pile up. */
    static inline uint32_t fm_fragment(uint64_t seed, Py_hash_t hash) {
        unsigned __int128 wide =
            (unsigned __int128)((uint64_t)hash ^ seed) * UINT64_C(0x9E3779B97F4A7C15);
        return (uint32_t)(((uint64_t)wide ^ (uint64_t)(wide >> 64)) >> 32);
    }

    static inline int fm_is_exact(PyTypeObject *type) {
        return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyBytes_Type;
    }

    static inline int fm_same_int(PyObject *a, PyObject *b) {
        PyLongObject *x = (PyLongObject *)a, *y = (PyLongObject *)b;
    #if PY_VERSION_HEX >= 0x030C0000
        uintptr_t tag = x->long_value.lv_tag;
        /* low bits: 0-1 sign, 2 reserved, then the number of digits */
        return !((tag ^ y->long_value.lv_tag) & ~(uintptr_t)4)
            && !memcmp(x->long_value.ob_digit, y->long_value.ob_digit, (tag >> 3) * sizeof(digit));
    #else
        Py_ssize_t n = Py_SIZE(x);
        return n == Py_SIZE(y)
            && !memcmp(x->ob_digit, y->ob_digit, (size_t)(n < 0 ? -n : n) * sizeof(digit));
    #endif
    }

    /* 1 equal, 0 different, -1 when only rich comparison (user code, perhaps) can tell. Exact str,
       bytes and int never compare equal to one another, and asking could raise a BytesWarning. */
    static __attribute__((noinline)) int fm_same_content(PyObject *a, PyObject *b) {
        PyTypeObject *type = Py_TYPE(a);
        if (type != Py_TYPE(b)) return fm_is_exact(type) && fm_is_exact(Py_TYPE(b)) ? 0 : -1;
        if (type == &PyUnicode_Type) {
            Py_ssize_t n = PyUnicode_GET_LENGTH(a);
            return n == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b)
                && !memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)n * PyUnicode_KIND(a));
        }
        if (type == &PyLong_Type) return fm_same_int(a, b);
        if (type == &PyBytes_Type)
            return Py_SIZE(a) == Py_SIZE(b)
                && !memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), (size_t)Py_SIZE(a));
        if (type == &PyTuple_Type) { /* tuples in tuples are left to rich comparison */
            Py_ssize_t i, n = PyTuple_GET_SIZE(a);
            int same = n == PyTuple_GET_SIZE(b);
            for (i = 0; same > 0 && i < n; i++) {
                PyObject *x = PyTuple_GET_ITEM(a, i), *y = PyTuple_GET_ITEM(b, i);
                same = x == y ? 1 : PyTuple_CheckExact(x) ? -1 : fm_same_content(x, y);
            }
            return same;
        }
        return -1;
    }

    static inline int fm_same_key(PyObject *a, PyObject *b) {
        return a == b ? 1 : fm_same_content(a, b);
    }
    #endif
    """
    uint32_t fragment_of "fm_fragment"(uint64_t seed, Py_hash_t hash) noexcept nogil
    bint is_exact "fm_is_exact"(void* type) noexcept nogil
    int same_key "fm_same_key"(PyObject* a, PyObject* b) noexcept nogil
    Py_hash_t hash_at_hand "fm_hash_at_hand"(PyObject* key) noexcept
    Py_hash_t key_hash "fm_key_hash"(object key) except -1
    void new_reference "Py_INCREF"(PyObject* o) noexcept


# As CPython declares it: a visit may return anything, and raises nothing.
ctypedef int (*visitproc)(PyObject*, void*) noexcept

cdef enum:
    # Entry.meta, low 8 bits
    DIRTY = 1            # no lower tier holds this version
    USES_ONE = 4         # s3fifo: uses not yet spent, 0 to 3
    USES_MASK = 12
    SMALL = 16           # s3fifo: in the small queue
    LIVE = 128
    FLAG_MASK = 255
    HIT_SHIFT = 8        # the hit count above the flags stops at 2**24 - 1
    # why an entry was displaced: kept in Entry.prev while it is
    CAUSE_SIZE = 0
    CAUSE_EXPIRED = 1
    CAUSE_REPLACED = 2
    CAUSE_DELETED = 3
    CAUSE_CLEARED = 4
    CAUSE_COUNT = 5
    # what an entry costs beyond key and value: its line, its slots at the lowest load; and the
    # ghosts that s3fifo keeps for each on the average
    ENTRY_OVERHEAD = 80
    GHOST_OVERHEAD = 24
    # Table.policy
    LRU = 0
    S3FIFO = 1

cdef struct Entry:
    PyObject* key
    PyObject* value
    int64_t deadline_ns    # CLOCK_BOOTTIME; 0: never
    int64_t size_bytes     # as the budget counts it: key, value and overhead
    uint64_t version       # of the record below; 0 in plain L1
    int64_t put_ns         # coarse CLOCK_BOOTTIME; 0 in plain L1 once replaced in place
    uint32_t prev
    uint32_t next
    uint32_t fragment      # finds the entry's slot without asking the key for its hash
    uint32_t meta          # hits << HIT_SHIFT | flags

cdef struct Displaced:     # entries on their way out; start with {0}
    uint32_t head
    uint32_t tail
    uint32_t causes        # bit set of 1 << CAUSE_*

cdef struct Table:
    Slots slots
    Entry* entries
    uint64_t seed
    uint32_t policy
    uint32_t live
    int64_t used_bytes
    int64_t budget_bytes   # what the shares of the queues are taken of
    int64_t small_bytes    # of `used_bytes`, in the small queue
    uint32_t displaced     # in any Displaced chain
    uint32_t free_head
    uint32_t entry_high
    uint32_t entry_capacity
    void* block            # what `entries` was carved from
    uint64_t counts[CAUSE_COUNT]  # displaced so far
    Ghosts ghosts


cdef inline Slot* first_slot(const Table* t, uint32_t fragment) noexcept nogil:
    return slots_first(&t.slots, fragment)


cdef inline void entry_fill(
    Entry* entry, PyObject* key, PyObject* value, int64_t size_bytes, int64_t deadline_ns
) noexcept:
    """What a put brings. The entry then owns a reference to each, and forgets what it had."""
    new_reference(key)
    new_reference(value)
    entry.key = key
    entry.value = value
    entry.deadline_ns = deadline_ns
    entry.size_bytes = size_bytes


cdef inline bint is_expired(const Entry* entry) noexcept nogil:
    return entry.deadline_ns != 0 and coarse_now_ns() >= entry.deadline_ns


cdef inline void ring_insert(Entry* entries, uint32_t sentinel, uint32_t index) noexcept nogil:
    """Behind the sentinel: as the youngest."""
    cdef uint32_t youngest = entries[sentinel].next
    entries[index].prev = sentinel
    entries[index].next = youngest
    entries[youngest].prev = index
    entries[sentinel].next = index


cdef inline void ring_remove(Entry* entries, uint32_t index) noexcept nogil:
    cdef uint32_t prev = entries[index].prev, next = entries[index].next
    entries[prev].next = next
    entries[next].prev = prev


# What a use does under each policy.
cdef inline void table_use(Table* t, uint32_t index) noexcept nogil:
    cdef Entry* entries = t.entries
    if t.policy != LRU:
        if entries[index].meta & USES_MASK != USES_MASK:
            entries[index].meta += USES_ONE
    elif entries[0].next != index:
        ring_remove(entries, index)
        ring_insert(entries, 0, index)


# Life. `table_init` also serves a table that was freed; `table_free` drops no references.
cdef int table_init(Table* t, uint64_t seed) except -1
cdef void table_free(Table* t) noexcept nogil
# Before the first entry only; False, and nothing done, later.
cdef bint table_choose(Table* t, uint32_t policy) noexcept nogil

# A free entry index, fields undefined, owned by the caller; and the way back.
cdef uint32_t table_take(Table* t) except 0
cdef void table_give_back(Table* t, uint32_t index) noexcept nogil

# Room for one more slot holding `fragment`, and a step of growth; `table_insert` after it cannot
# fail.
cdef int table_reserve(Table* t, uint32_t fragment) except -1
# Displaces entries until a taken and filled one (key, value, size, fragment, ... all but the links)
# finds room in the budget, and makes that one live. The table then owns the references in it.
cdef void table_insert(Table* t, uint32_t index, Displaced* out) noexcept nogil

# Makes a live entry displaced and appends it to `out`.
cdef void table_displace(Table* t, uint32_t index, uint32_t cause, Displaced* out) noexcept nogil
# Gives the live entry `index` the contents of the taken entry `fresh`, which counts as a use, then
# displaces others until within the budget. `fresh` then carries the old contents, and is appended
# to `out` first. (Where the policy might displace the entry itself to make room, it becomes the
# youngest of its queue.)
cdef void table_replace(
    Table* t, uint32_t index, uint32_t fresh, uint32_t cause, Displaced* out
) noexcept nogil
# Whether table_overwrite may be called instead.
cdef bint table_fits(const Table* t, uint32_t index, int64_t size_bytes) noexcept nogil
# table_replace in place, for one who takes over the references that the entry held: no entry is
# needed to carry them. No version, no put time, no flags, and displaces nothing.
cdef void table_overwrite(
    Table* t, uint32_t index, PyObject* key, PyObject* value, int64_t size_bytes,
    int64_t deadline_ns, uint32_t cause,
) noexcept
# Displaces victims until `used_bytes` is at most `budget_bytes`.
cdef void table_shrink(Table* t, int64_t budget_bytes, Displaced* out) noexcept nogil
# Displaces everything.
cdef void table_clear(Table* t, uint32_t cause, Displaced* out) noexcept nogil
# Drops the references of displaced entries, which may run any code, also on this very table;
# the entries become free one by one, each before its references go.
cdef void table_release(Table* t, Displaced* out) noexcept
# After a clear: swaps big arrays for small ones if there is memory for them and nothing in use.
cdef void table_trim(Table* t) noexcept

# In a collection: visits every reference until a visit returns other than 0; returns that. Touches
# no reference count, allocates and waits for nothing.
cdef int table_visit(const Table* t, visitproc visit, void* arg) noexcept

# What slots and entries occupy, used or not.
cdef uint64_t table_bytes(const Table* t) noexcept nogil
# The most slots a search walks from a home.
cdef uint64_t table_longest_probe(const Table* t) noexcept nogil
