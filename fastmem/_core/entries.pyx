"""`Entries`: what a cache holds, with its budget, and how that joins Python's life cycles.

The structure is in table.pxd, the rules for composing these methods in entries.pxd.
"""

import os

cimport cython
from cpython.object cimport Py_EQ, PyObject_RichCompareBool
from cpython.ref cimport Py_DECREF

from fastmem._core.arguments cimport whole_number
from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.invariants cimport table_check
from fastmem._core.sizing cimport size_of
from fastmem._core.slots cimport Slot
from fastmem._core.table cimport (
    CAUSE_CLEARED, CAUSE_EXPIRED, CAUSE_REPLACED, ENTRY_OVERHEAD, FLAG_MASK, entry_fill, first_slot,
    is_expired, same_key, table_bytes, table_clear, table_displace, table_fits, table_free,
    table_give_back, table_init, table_insert, table_longest_probe, table_overwrite, table_release,
    table_replace, table_reserve, table_shrink, table_take, table_trim, table_visit, visitproc,
)

from fastmem.errors import ClosedError, ValueTooLargeError

cdef extern from "Python.h":
    # As CPython declares them: a visit may return anything, and raises nothing.
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear

cdef enum:
    LOOKUP_TRIES = 1000

cdef uint64_t NOBODY = 0


cdef inline uint32_t cause_of_replacing(const Entry* entry) noexcept:
    return CAUSE_EXPIRED if is_expired(entry) else CAUSE_REPLACED


@cython.trashcan(True)
cdef class Entries:
    """The entries of a cache, its budget, and the seam on which the tiers are built."""

    def __cinit__(self):
        table_init(&self.table, <uint64_t>int.from_bytes(os.urandom(8), "little"))
        self.overhead = ENTRY_OVERHEAD
        self.shared = &NOBODY

    def __dealloc__(self):
        cdef Displaced out = [0, 0, 0]
        if self.table.entries != NULL:
            table_clear(&self.table, CAUSE_CLEARED, &out)
            table_release(&self.table, &out)
        table_free(&self.table)

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
            stamp = t.slots.stamp
            slot = first_slot(t, fragment)
            while slot.fragment == fragment and slot.entry:
                index = slot.entry
                same = same_key(t.entries[index].key, <PyObject*>key)
                if same < 0:
                    stored = <object>t.entries[index].key
                    same = PyObject_RichCompareBool(stored, key, Py_EQ)
                    stored = None  # perhaps the last reference, with a __del__: before the check
                    if t.slots.stamp != stamp:
                        break
                if same:
                    return index
                slot += 1
            else:
                return 0
        raise RuntimeError(f"comparing keys changed the cache {LOOKUP_TRIES} times in one lookup")

    cdef uint32_t find_live(self, object key) except? 4294967295:
        cdef uint32_t index = lookup_live(self, key)
        if index == 0:
            self.require_open()
        return index

    cdef int expire_at(self, uint32_t index) except -1:
        cdef Displaced out = [0, 0, 0]
        table_displace(&self.table, index, CAUSE_EXPIRED, &out)
        return self.release(&out)

    cdef Entry* entry_at(self, uint32_t index) noexcept:
        return self.table.entries + index

    cdef int require_room(self, int64_t size_bytes) except -1:
        self.require_open()
        if size_bytes > self.budget:
            self.too_large += 1
            raise ValueTooLargeError(size_bytes, self.budget)
        return 0

    cdef int install(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, uint64_t version,
        uint32_t flags, Displaced* out,
    ) except -1:
        cdef uint32_t fragment = 0, index = lookup(self, key, &fragment)
        return self.install_at(
            index, fragment, key, value, size_bytes, deadline_ns, version, flags, out
        )

    cdef int install_at(
        self, uint32_t index, uint32_t fragment, object key, object value, int64_t size_bytes,
        int64_t deadline_ns, uint64_t version, uint32_t flags, Displaced* out,
    ) except -1:
        cdef Table* t = &self.table
        cdef uint32_t fresh
        # What can fail comes before what changes.
        self.require_room(size_bytes)
        fresh = table_take(t)
        if index == 0:
            try:
                table_reserve(t, fragment)
            except MemoryError:
                table_give_back(t, fresh)
                raise
        entry_fill(t.entries + fresh, <PyObject*>key, <PyObject*>value, size_bytes, deadline_ns)
        t.entries[fresh].put_ns = coarse_now_ns()
        t.entries[fresh].version = version
        t.entries[fresh].fragment = fragment
        t.entries[fresh].meta = flags & FLAG_MASK
        if index:
            table_replace(t, index, fresh, cause_of_replacing(t.entries + index), out)
        else:
            table_insert(t, fresh, out)
        void_lease(self, fragment)
        return 0

    cdef int overwrite(
        self, uint32_t index, object key, object value, int64_t size_bytes, int64_t deadline_ns
    ) except -1:
        cdef Displaced out = [0, 0, 0]
        cdef Table* t = &self.table
        cdef PyObject* old_key = t.entries[index].key
        cdef PyObject* old_value = t.entries[index].value
        self.require_room(size_bytes)
        if not table_fits(t, index, size_bytes):
            self.install_at(
                index, t.entries[index].fragment, key, value, size_bytes, deadline_ns, 0, 0, &out
            )
            return self.release(&out)
        table_overwrite(
            t, index, <PyObject*>key, <PyObject*>value, size_bytes, deadline_ns,
            cause_of_replacing(t.entries + index),
        )
        void_lease(self, t.entries[index].fragment)
        try:
            if t.used_bytes > self.budget:
                table_shrink(t, self.budget, &out)
                self.release(&out)
        finally:
            Py_DECREF(<object>old_value)
            Py_DECREF(<object>old_key)
        return 0

    cdef int discard(self, object key, uint32_t cause, Displaced* out) except -1:
        cdef uint32_t fragment = 0, index = lookup(self, key, &fragment)
        if index:
            if is_expired(self.table.entries + index):
                cause = CAUSE_EXPIRED
            table_displace(&self.table, index, cause, out)
        void_lease(self, fragment)
        return index != 0

    cdef void discard_at(self, uint32_t index, uint32_t cause, Displaced* out) noexcept:
        void_lease(self, self.table.entries[index].fragment)
        table_displace(&self.table, index, cause, out)

    cdef void discard_all(self, Displaced* out) noexcept:
        table_clear(&self.table, CAUSE_CLEARED, out)
        if self.leases is not None:
            self.leases.void_all()

    cdef int release(self, Displaced* out) except -1:
        if out.causes & self.watched:
            try:
                self.on_victims(out)
            finally:
                table_release(&self.table, out)
        else:
            table_release(&self.table, out)
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
        return size_of(key) + size + self.overhead

    cdef int on_victims(self, Displaced* out) except -1:
        return 0

    cdef bint is_fresh(self, uint32_t index) noexcept:
        return True

    cdef bint drop_outdated(self, uint32_t index) except -1:
        return False

    cdef void note_lease(self, Lease lease) noexcept:
        pass

    cdef int require_open(self) except -1:
        if self.closed_:
            raise ClosedError(f"the {type(self).__name__} is closed")
        return 0

    cdef int empty(self) except -1:
        cdef Displaced out = [0, 0, 0]
        self.discard_all(&out)
        self.release(&out)
        table_trim(&self.table)
        return 0

    def _check(self):
        """Walks every invariant; ``AssertionError`` with details."""
        table_check(&self.table)
        assert self.closed_ or self.table.used_bytes <= self.budget, "over budget"

    def _longest_probe(self):
        """The most slots a search walks from a fragment's home."""
        return table_longest_probe(&self.table)

    def _arena_bytes(self):
        """What slots and entries occupy, used or not."""
        return table_bytes(&self.table)

    def _set_deadline(self, key, int64_t deadline_ns):
        """Moves the deadline of a live entry, in nanoseconds of CLOCK_BOOTTIME."""
        cdef uint32_t index = self.find(key)
        if index == 0:
            raise KeyError(key)
        self.table.entries[index].deadline_ns = deadline_ns


# Cython traverses the members it knows; the references in the arena are added here, once, on the
# type itself, so that subclasses of any kind inherit it. Displaced entries still own references.

cdef traverseproc traverse_members = (<PyTypeObject*>Entries).tp_traverse
cdef inquiry clear_members = (<PyTypeObject*>Entries).tp_clear


cdef int traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    """In a collection: touches no reference count, allocates and waits for nothing."""
    cdef int stop = table_visit(table_of(self), visit, arg)
    return stop if stop else traverse_members(self, visit, arg)


cdef int clear(PyObject* self) noexcept:
    """Breaks the cycles of an unreachable cache: it becomes empty, and stays usable."""
    cdef Displaced out = [0, 0, 0]
    cdef Table* t = table_of(self)
    table_clear(t, CAUSE_CLEARED, &out)
    table_release(t, &out)
    return clear_members(self)


cdef inline Table* table_of(PyObject* self) noexcept:
    return &(<Entries><void*>self).table


(<PyTypeObject*>Entries).tp_traverse = traverse
(<PyTypeObject*>Entries).tp_clear = clear
