"""Seen set, stack and leaves of a walk; walk.pxd describes them.

The stack is explicit, so depth costs memory, not C stack. An object that only one reference points
to cannot be met twice and needs no note in the set of seen ones.
"""

import sys

from cpython.long cimport PyLong_AsLongLong, PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from fastmem._core.objects cimport (
    PyBool_Type, PyBytes_Type, PyCFunction, PyDict_Type, PyFloat_Type, PyList_Type, PyLong_Type,
    PyTuple_Type, PyUnicode_Type, builtin_sizeof, dict_next, has_surrogates, header_bytes,
    int_bytes, int_is_64_bit, is_program, items_bytes, list_bytes, list_item, list_len, refcount,
    str_bytes, tuple_item, tuple_len, type_of,
)

cdef enum:
    DIRECT_DEPTH = 100

cdef object SIZEOF = sys.intern("__sizeof__")
cdef PyCFunction DICT_SIZEOF = builtin_sizeof(&PyDict_Type, <PyObject*>SIZEOF)
assert DICT_SIZEOF != NULL, "dict.__sizeof__ is not the C function it was"


cdef void start(Walk* w) noexcept:
    w.stack = w.first_stack
    w.seen = w.first_seen
    w.stack_used = w.seen_used = w.referents = 0
    w.stack_capacity = STACK_INLINE
    w.seen_capacity = SEEN_INLINE
    w.depth = 1
    w.always_note = w.out_of_memory = w.quiet = False
    memset(w.first_seen, 0, sizeof(w.first_seen))


cdef void finish(Walk* w) noexcept:
    while w.stack_used:
        w.stack_used -= 1
        Py_DECREF(<object>w.stack[w.stack_used].object)
    if w.stack != w.first_stack:
        PyMem_Free(w.stack)
    if w.seen != w.first_seen:
        PyMem_Free(w.seen)


cdef inline PyObject** seen_place(Walk* w, PyObject* o) noexcept:
    cdef uint32_t mask = w.seen_capacity - 1
    cdef uint32_t at = <uint32_t>((<uint64_t><uintptr_t>o * <uint64_t>0x9E3779B97F4A7C15) >> 32)
    at &= mask
    while w.seen[at] != NULL and w.seen[at] != o:
        at = (at + 1) & mask
    return w.seen + at


cdef bint seen_grow(Walk* w) noexcept:
    cdef PyObject** old = w.seen
    cdef uint32_t old_capacity = w.seen_capacity, i
    cdef size_t size = <size_t>old_capacity * 4 * sizeof(PyObject*)
    cdef PyObject** bigger = <PyObject**>PyMem_Malloc(size)
    if bigger == NULL:
        w.out_of_memory = True
        return False
    memset(bigger, 0, size)
    w.seen = bigger
    w.seen_capacity = old_capacity * 4
    for i in range(old_capacity):
        if old[i] != NULL:
            seen_place(w, old[i])[0] = old[i]
    if old != w.first_seen:
        PyMem_Free(old)
    return True


cdef inline bint is_new(Walk* w, PyObject* o) noexcept:
    cdef PyObject** place = seen_place(w, o)
    if place[0] != NULL:
        return False
    place[0] = o
    w.seen_used += 1
    return w.seen_used * 2 <= w.seen_capacity or seen_grow(w)


cdef void push(Walk* w, PyObject* o) noexcept:
    cdef Frame* bigger
    if w.stack_used == w.stack_capacity:
        bigger = <Frame*>PyMem_Malloc(<size_t>w.stack_capacity * 2 * sizeof(Frame))
        if bigger == NULL:
            w.out_of_memory = True
            return
        memcpy(bigger, w.stack, <size_t>w.stack_used * sizeof(Frame))
        if w.stack != w.first_stack:
            PyMem_Free(w.stack)
        w.stack = bigger
        w.stack_capacity *= 2
    Py_INCREF(<object>o)
    w.stack[w.stack_used].object = o
    w.stack[w.stack_used].depth = w.depth
    w.stack[w.stack_used].quiet = w.quiet
    w.stack_used += 1


cdef inline bint add_leaf(Walk* w, PyObject* o) noexcept:
    """Counts an exact str, int, float, bytes, bool or None; False for anything else."""
    cdef PyTypeObject* type = type_of(o)
    cdef int64_t size
    if type is &PyUnicode_Type:
        size = str_bytes(o)
        if size == 0:
            return False
        if has_surrogates(o):
            w.needs |= NEEDS_PLAIN
    elif type is &PyLong_Type:
        size = int_bytes(o)
        if size > 32 and not int_is_64_bit(o):
            w.needs |= NEEDS_PLAIN
    elif type is &PyBytes_Type:
        size = items_bytes(o)
    elif type is &PyFloat_Type:
        size = type.tp_basicsize
    elif type is &PyBool_Type:
        size = int_bytes(o)
    elif o is <PyObject*>None:
        size = type.tp_basicsize
    else:
        return False
    w.total += whole_words(size)
    return True


cdef void visit(Walk* w, PyObject* o) noexcept:
    if (w.always_note or refcount(o) != 1) and not is_new(w, o):
        # A container met again is shared or cyclic, which a tree cannot say.
        if type_of(o) is &PyList_Type or type_of(o) is &PyDict_Type:
            w.needs |= NEEDS_PLAIN
    elif not add_leaf(w, o):
        if is_program(o):
            w.needs |= NEEDS_OPAQUE
        else:
            push(w, o)


cdef inline void visit_child(Walk* w, PyObject* o) noexcept:
    """`visit` with its most common case, a leaf nobody else refers to, inlined."""
    if refcount(o) != 1 or w.always_note or not add_leaf(w, o):
        visit(w, o)


cdef int visit_traversed(PyObject* o, void* walk) noexcept:
    cdef Walk* w = <Walk*>walk
    w.referents += 1
    visit(w, o)
    return 0


cdef inline object answer_of(PyCFunction method, PyObject* o):
    answer = <object>method(o, NULL)
    Py_DECREF(answer)
    return answer


cdef int64_t own_size(PyObject* o) except -1:
    cdef PyCFunction method = builtin_sizeof(type_of(o), <PyObject*>SIZEOF)
    cdef int64_t size = -1
    cdef int overflow = 0
    try:
        if method != NULL:
            answer = answer_of(method, o)
        else:
            answer = type(<object>o).__sizeof__(<object>o)
        if isinstance(answer, int):  # its value, whatever a subclass of int claims to be
            size = PyLong_AsLongLongAndOverflow(answer, &overflow)
    except MemoryError:
        raise
    except Exception:
        size = -1
    if overflow > 0:
        return HUGE
    if size < 0:
        size = type_of(o).tp_basicsize
    return min(size, HUGE) + header_bytes(o)


cdef inline int64_t dict_bytes(PyObject* o) except -1:
    """`own_size` of an exact dict, whose answer needs no doubt."""
    return PyLong_AsLongLong(answer_of(DICT_SIZEOF, o)) + header_bytes(o)


cdef inline int expand_exact(Walk* w, PyObject* o, Expand expand) except -1:
    cdef PyTypeObject* type = type_of(o)
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    cdef Py_ssize_t i, at = 0
    if type is &PyDict_Type:
        add(w, dict_bytes(o))
        while dict_next(o, &at, &key, &value):
            if type_of(key) is not &PyUnicode_Type and type_of(key) is not &PyLong_Type:
                w.needs |= NEEDS_PLAIN
            visit_child(w, key)
            visit_child(w, value)
    elif type is &PyList_Type:
        add(w, list_bytes(o) + header_bytes(o))
        for i in range(list_len(o)):
            visit_child(w, list_item(o, i))
    elif type is &PyTuple_Type:
        add(w, items_bytes(o) + header_bytes(o))
        w.needs |= NEEDS_PLAIN
        for i in range(tuple_len(o)):
            visit_child(w, tuple_item(o, i))
    else:
        return expand(w, o)
    if w.depth > DIRECT_DEPTH + 1:
        w.needs |= NEEDS_PLAIN
    return 0


cdef int64_t walk(Walk* w, object value, Expand expand) except -1:
    """Children are collected with nothing of Python running in between, then measured one by one:
    what a `__sizeof__` does to a container on the stack finds no iterator in it."""
    cdef Frame frame
    cdef uint8_t needs
    w.total = 0
    w.needs = 0
    if add_leaf(w, <PyObject*>value):
        return w.total
    start(w)
    try:
        push(w, <PyObject*>value)
        is_new(w, <PyObject*>value)
        while w.stack_used:
            w.stack_used -= 1
            frame = w.stack[w.stack_used]
            owned = <object>frame.object
            Py_DECREF(owned)  # the stack's reference; `owned` holds one for this step
            w.depth = frame.depth + 1
            w.quiet = frame.quiet
            w.always_note = False
            needs = w.needs
            expand_exact(w, frame.object, expand)
            if frame.quiet:
                w.needs = needs
            if w.out_of_memory:
                raise MemoryError()
        return w.total
    finally:
        finish(w)
