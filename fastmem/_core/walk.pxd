"""The walk through a value: what was met, what waits to be looked into, what it adds up to.

Exact lists, tuples and dicts are walked here; what else an object leads to, the caller's `Expand`
says. Nothing runs user code but `own_size` (a `__sizeof__`), `Expand` and the end of a reference
that was the last one.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastmem._core.objects cimport HUGE

cdef enum:
    STACK_INLINE = 24
    SEEN_INLINE = 128          # a power of two, like every later size
    # Walk.needs: what keeps the value from being direct
    NEEDS_PLAIN = 1
    NEEDS_OPAQUE = 2

cdef struct Frame:
    PyObject* object           # a strong reference
    uint32_t depth
    bint quiet                 # part of the size, not of the form

cdef struct Walk:
    Frame* stack
    PyObject** seen            # addresses only, never followed
    int64_t total
    uint32_t stack_used
    uint32_t stack_capacity
    uint32_t seen_used
    uint32_t seen_capacity
    uint32_t depth             # of what `visit` is given
    uint32_t referents         # of the object being traversed
    uint8_t needs
    bint quiet
    bint always_note           # the owner may report one reference twice
    bint out_of_memory
    Frame first_stack[STACK_INLINE]
    PyObject* first_seen[SEEN_INLINE]


# `add`s the own bytes of an object that is no exact list, tuple, dict or leaf, and `visit`s what it
# refers to.
ctypedef int (*Expand)(Walk* w, PyObject* o) except -1

# The bytes of the value and all it leads to; `w.needs` then tells its form. Fails with MemoryError
# and with what `Expand` or a `__sizeof__` raised that is not an Exception.
cdef int64_t walk(Walk* w, object value, Expand expand) except -1

# --- for an Expand

# Counts a leaf now and keeps anything else for later; what was met before, neither.
cdef void visit(Walk* w, PyObject* o) noexcept
cdef int visit_traversed(PyObject* o, void* walk) noexcept    # the same as a visitproc

# What `sys.getsizeof` says, or the type's basic size when the object lies or fails.
cdef int64_t own_size(PyObject* o) except -1


cdef inline int64_t whole_words(int64_t size) noexcept:
    return (size + 7) & ~<int64_t>7


cdef inline void add(Walk* w, int64_t size) noexcept:
    w.total = min(w.total + whole_words(min(size, HUGE)), HUGE)
