"""Deep size of Python values, and how they can be serialised.

Every distinct object reachable from the value is counted once, at what `sys.getsizeof` says of it
(the collector's header included), rounded up to whole words as allocators do. The walk goes into
containers, instances (attributes and slots), views (their base) and arrays of objects. Types,
modules, functions and code belong to the program, not to the value: they count nothing inside one.
Objects of extension types count their `__sizeof__` and no more. It uses an explicit stack, so depth
costs memory, not C stack; an object that only one reference points to cannot be met twice and needs
no note in the set of seen ones.
"""

import sys
from array import array as _array
from collections import OrderedDict as _OrderedDict
from collections import defaultdict as _defaultdict
from collections import deque as _deque
from types import SimpleNamespace as _SimpleNamespace

from cpython.datetime cimport (
    PyDate_CheckExact, PyDateTime_CheckExact, PyDelta_CheckExact, PyTime_CheckExact,
    datetime_tzinfo, import_datetime, time_tzinfo,
)
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

import datetime as _datetime

cdef extern from *:
    """
    #include <stdint.h>
    #define FM_HEADER_FLAGS ((1UL << 3) | (1UL << 4)) /* managed dict or weakrefs: 16 */

    static inline int64_t fm_header_bytes(PyObject *o) {
        PyTypeObject *type = Py_TYPE(o);
        if (!PyType_HasFeature(type, Py_TPFLAGS_HAVE_GC)) return 0;
        return 16 + (type->tp_flags & FM_HEADER_FLAGS ? 16 : 0);
    }

    /* 0 when only str.__sizeof__ knows (a non-compact string) */
    static inline int64_t fm_str_bytes(PyObject *o) {
        Py_ssize_t n = PyUnicode_GET_LENGTH(o);
        PyCompactUnicodeObject *s = (PyCompactUnicodeObject *)o;
        if (PyUnicode_IS_COMPACT_ASCII(o)) return (int64_t)sizeof(PyASCIIObject) + n + 1;
        if (!PyUnicode_IS_COMPACT(o)) return 0;
        return (int64_t)sizeof(*s) + (n + 1) * (int64_t)PyUnicode_KIND(o)
            + (s->utf8 != NULL ? s->utf8_length + 1 : 0);
    }

    static inline int64_t fm_int_bytes(PyObject *o) {
    #if PY_VERSION_HEX >= 0x030C0000
        Py_ssize_t digits = (Py_ssize_t)(((PyLongObject *)o)->long_value.lv_tag >> 3);
        if (digits == 0) digits = 1;
        return (int64_t)offsetof(PyLongObject, long_value.ob_digit)
            + digits * (int64_t)sizeof(digit);
    #else
        Py_ssize_t digits = Py_SIZE(o);
        if (digits < 0) digits = -digits;
        if (digits == 0) digits = 1;
        return (int64_t)offsetof(PyLongObject, ob_digit) + digits * (int64_t)sizeof(digit);
    #endif
    }

    static inline int fm_int_is_64_bit(PyObject *o) {
        int overflow;
        if (PyLong_AsLongLongAndOverflow(o, &overflow) == -1 && overflow) {
            if (overflow < 0) return 0;
            if (PyLong_AsUnsignedLongLong(o) == (unsigned long long)-1 && PyErr_Occurred()) {
                PyErr_Clear();
                return 0;
            }
        }
        return 1;
    }

    static inline int fm_has_surrogates(PyObject *o) {
        Py_ssize_t i, n = PyUnicode_GET_LENGTH(o);
        int kind = PyUnicode_KIND(o);
        const void *data = PyUnicode_DATA(o);
        if (kind == PyUnicode_1BYTE_KIND) return 0;
        for (i = 0; i < n; i++)
            if ((PyUnicode_READ(kind, data, i) & ~(Py_UCS4)0x7FF) == 0xD800) return 1;
        return 0;
    }

    /* The C function behind `type.__sizeof__` when a builtin supplies it, else NULL. */
    static inline PyCFunction fm_builtin_sizeof(PyTypeObject *type, PyObject *name) {
        PyObject *found = _PyType_Lookup(type, name);
        if (found == NULL || Py_TYPE(found) != &PyMethodDescr_Type) return NULL;
        PyMethodDef *method = ((PyMethodDescrObject *)found)->d_method;
        return method->ml_flags == METH_NOARGS ? method->ml_meth : NULL;
    }

    /* Program, not data. */
    static inline int fm_is_program(PyObject *o) {
        return PyType_Check(o) || PyFunction_Check(o) || PyCFunction_Check(o) || PyModule_Check(o)
            || PyCode_Check(o);
    }

    /* What an instance inherits its traversal from, below any number of Python classes. */
    static inline traverseproc fm_solid_traverse(PyTypeObject *type, traverseproc python_class) {
        while (type != NULL && type->tp_traverse == python_class) type = type->tp_base;
        return type == NULL ? NULL : type->tp_traverse;
    }

    /* Bytes per attribute of an instance whose attributes have no dict (yet): asking for the dict
       would make one, and a measurement must not make the object larger. */
    static inline int64_t fm_separate_values(PyTypeObject *type) {
        return type->tp_flags & (1UL << 4) ? (int64_t)sizeof(PyObject *) : 0;
    }

    static inline int64_t fm_list_bytes(PyObject *o) {
        return (int64_t)PyList_Type.tp_basicsize
            + ((PyListObject *)o)->allocated * (int64_t)sizeof(PyObject *);
    }

    static inline int64_t fm_items_bytes(PyObject *o) { /* tuple, bytes */
        PyTypeObject *type = Py_TYPE(o);
        return (int64_t)type->tp_basicsize + Py_SIZE(o) * (int64_t)type->tp_itemsize;
    }
    """
    ctypedef PyObject* (*PyCFunction)(PyObject*, PyObject*)
    int64_t header_bytes "fm_header_bytes"(PyObject* o) noexcept
    int64_t str_bytes "fm_str_bytes"(PyObject* o) noexcept
    int64_t int_bytes "fm_int_bytes"(PyObject* o) noexcept
    int64_t list_bytes "fm_list_bytes"(PyObject* o) noexcept
    int64_t items_bytes "fm_items_bytes"(PyObject* o) noexcept
    bint int_is_64_bit "fm_int_is_64_bit"(PyObject* o) noexcept
    bint has_surrogates "fm_has_surrogates"(PyObject* o) noexcept
    bint is_program "fm_is_program"(PyObject* o) noexcept
    traverseproc solid_traverse "fm_solid_traverse"(PyTypeObject* t, traverseproc p) noexcept
    PyCFunction builtin_sizeof "fm_builtin_sizeof"(PyTypeObject* t, PyObject* name) noexcept
    int64_t separate_values "fm_separate_values"(PyTypeObject* t) noexcept

cdef extern from "Python.h":
    PyTypeObject* type_of "Py_TYPE"(PyObject* o) noexcept
    Py_ssize_t refcount "Py_REFCNT"(PyObject* o) noexcept
    PyObject* list_item "PyList_GET_ITEM"(PyObject* o, Py_ssize_t i) noexcept
    Py_ssize_t list_len "PyList_GET_SIZE"(PyObject* o) noexcept
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject* o, Py_ssize_t i) noexcept
    Py_ssize_t tuple_len "PyTuple_GET_SIZE"(PyObject* o) noexcept
    bint dict_next "PyDict_Next"(PyObject* o, Py_ssize_t* at, PyObject** k, PyObject** v) noexcept
    bint type_check "PyObject_TypeCheck"(PyObject* o, PyTypeObject* t) noexcept
    bint is_exception "PyExceptionInstance_Check"(PyObject* o) noexcept
    PyObject* PyImport_GetModule(PyObject* name) except? NULL
    PyTypeObject PyUnicode_Type, PyLong_Type, PyBytes_Type, PyFloat_Type, PyBool_Type
    PyTypeObject PyComplex_Type, PyList_Type, PyTuple_Type, PyDict_Type, PySet_Type
    PyTypeObject PyFrozenSet_Type, PyByteArray_Type, PyMemoryView_Type

import_datetime()

# The constants of the .pxd, for Python too.
globals().update(FORM_OPAQUE=FORM_OPAQUE, FORM_DIRECT=FORM_DIRECT, FORM_PLAIN=FORM_PLAIN)


class _Instance:
    """Any class written in Python shares this one's way of being traversed."""


cdef enum:
    STACK_INLINE = 24
    SEEN_INLINE = 128          # a power of two, like every later size
    DIRECT_DEPTH = 100
    NEEDS_PLAIN = 1
    NEEDS_OPAQUE = 2
    DATA_COUNT = 10

cdef int64_t HUGE = <int64_t>1 << 61       # sizes saturate here; two of them still add up
cdef PyTypeObject* DEQUE = <PyTypeObject*>_deque
cdef PyTypeObject* ARRAY = <PyTypeObject*>_array
cdef PyTypeObject* TIMEZONE = <PyTypeObject*>_datetime.timezone
cdef PyTypeObject* NDARRAY = NULL          # numpy's, once a program that has it loaded shows one
cdef object ndarray_type = None            # keeps NDARRAY alive
cdef traverseproc PYTHON_CLASS = (<PyTypeObject*>_Instance).tp_traverse
cdef object SIZEOF = sys.intern("__sizeof__")
cdef object NUMPY = sys.intern("numpy")

# The C level traversals that lead to data and nowhere else.
cdef traverseproc DATA[DATA_COUNT]
DATA[0] = NULL
DATA[1] = PyDict_Type.tp_traverse
DATA[2] = PyList_Type.tp_traverse
DATA[3] = PyTuple_Type.tp_traverse
DATA[4] = PySet_Type.tp_traverse
DATA[5] = DEQUE.tp_traverse
DATA[6] = (<PyTypeObject*>_SimpleNamespace).tp_traverse
DATA[7] = (<PyTypeObject*>BaseException).tp_traverse
DATA[8] = (<PyTypeObject*>_OrderedDict).tp_traverse
DATA[9] = (<PyTypeObject*>_defaultdict).tp_traverse

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


cdef void start(Walk* w) noexcept:
    w.stack = w.first_stack
    w.seen = w.first_seen
    w.total = 0
    w.stack_used = w.seen_used = w.depth = w.referents = 0
    w.stack_capacity = STACK_INLINE
    w.seen_capacity = SEEN_INLINE
    w.needs = 0
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


cdef inline int64_t whole_words(int64_t size) noexcept:
    return (size + 7) & ~<int64_t>7


cdef inline void add(Walk* w, int64_t size) noexcept:
    w.total = min(w.total + whole_words(min(size, HUGE)), HUGE)


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
    """Counts a leaf now and keeps anything else for later; runs no user code."""
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


cdef int64_t own_size(PyObject* o) except -1:
    """What `sys.getsizeof` says, or the type's basic size when the object lies or fails."""
    cdef PyCFunction method = builtin_sizeof(type_of(o), <PyObject*>SIZEOF)
    cdef PyObject* result
    cdef int64_t size = -1
    cdef int overflow = 0
    try:
        if method != NULL:
            result = method(o, NULL)
            if result == NULL:
                raise_pending()
            answer = <object>result
            Py_DECREF(answer)
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


cdef int raise_pending() except -1:
    """The error indicator is set already."""
    return -1


cdef bint is_ndarray(PyObject* o) except -1:
    """numpy is recognised when the program has loaded it, and never imported here."""
    global NDARRAY, ndarray_type
    cdef PyObject* module
    if NDARRAY is NULL:
        module = PyImport_GetModule(<PyObject*>NUMPY)
        if module is NULL:
            return False
        numpy = <object>module
        Py_DECREF(numpy)
        found = getattr(numpy, "ndarray", None)  # None while numpy is being imported
        if not isinstance(found, type):
            return False
        ndarray_type = found
        NDARRAY = <PyTypeObject*>ndarray_type
    return type_check(o, NDARRAY)


cdef int visit_owner(Walk* w, object owner) except -1:
    """The owner of a borrowed buffer adds to the size; what is serialised is the view alone."""
    cdef uint8_t needs = w.needs
    w.quiet = True
    visit(w, <PyObject*>owner)
    w.needs = needs
    return 0


cdef int expand_array(Walk* w, PyObject* o) except -1:
    """An array owns its buffer (then `__sizeof__` has it) or borrows it from its base."""
    array = <object>o
    cdef bint holds_objects = array.dtype.hasobject
    base = array.base
    w.needs |= NEEDS_OPAQUE if holds_objects or type_of(o) is not NDARRAY else NEEDS_PLAIN
    if holds_objects and array.dtype.kind == "O":
        for item in array.flat:
            visit(w, <PyObject*>item)
    return visit_owner(w, base) if base is not None else 0


cdef bint has_plain_zone(object zone) noexcept:
    return zone is None or type_of(<PyObject*>zone) is TIMEZONE


cdef bint is_plain_scalar(PyObject* o) noexcept:
    cdef PyTypeObject* type = type_of(o)
    if PyDateTime_CheckExact(<object>o):
        return has_plain_zone(datetime_tzinfo(<object>o))
    if PyTime_CheckExact(<object>o):
        return has_plain_zone(time_tzinfo(<object>o))
    return (
        type is &PyUnicode_Type or type is &PyByteArray_Type or type is &PyComplex_Type
        or type is ARRAY or type is TIMEZONE
        or PyDate_CheckExact(<object>o) or PyDelta_CheckExact(<object>o)
    )


cdef bint leads_to_data(PyTypeObject* type) noexcept:
    """Instances of Python classes, and of the builtin containers, but not of extension types:
    those may lead anywhere (a frame's globals, this very cache)."""
    cdef traverseproc traverse = solid_traverse(type, PYTHON_CLASS)
    cdef int i
    for i in range(DATA_COUNT):
        if traverse is DATA[i]:
            return type.tp_traverse is not NULL
    return False


cdef int expand_object(Walk* w, PyObject* o) except -1:
    """Anything but a leaf or an exact list, tuple or dict."""
    cdef PyTypeObject* type = type_of(o)
    cdef Py_ssize_t at = 0
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    add(w, own_size(o))
    if type is &PySet_Type or type is &PyFrozenSet_Type:
        w.needs |= NEEDS_PLAIN
        type.tp_traverse(o, <visitproc>visit_traversed, w)
        return 0
    w.always_note = True
    if leads_to_data(type) and not is_program(o):
        w.needs |= NEEDS_OPAQUE
        w.referents = 0
        type.tp_traverse(o, <visitproc>visit_traversed, w)
        add(w, w.referents * separate_values(type))
        if isinstance(<object>o, dict):  # the traversal of a dict of str keys leaves them out
            while dict_next(o, &at, &key, &value):
                visit(w, key)
                visit(w, value)
    elif type is &PyMemoryView_Type:
        w.needs |= NEEDS_OPAQUE
        return visit_owner(w, (<object>o).obj)
    elif is_ndarray(o):
        return expand_array(w, o)
    else:
        w.needs |= NEEDS_PLAIN if is_plain_scalar(o) else NEEDS_OPAQUE
    return 0


cdef int expand(Walk* w, PyObject* o) except -1:
    cdef PyTypeObject* type = type_of(o)
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    cdef Py_ssize_t i, at = 0
    if type is &PyDict_Type:
        add(w, own_size(o))
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
        return expand_object(w, o)
    if w.depth > DIRECT_DEPTH + 1:
        w.needs |= NEEDS_PLAIN
    return 0


cdef int64_t walk(Walk* w, object value) except -1:
    """Children are collected with nothing of Python running in between, then measured one by one:
    what a `__sizeof__` does to a container on the stack finds no iterator in it."""
    cdef Frame frame
    cdef uint8_t needs
    start(w)
    try:
        w.depth = 1
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
            expand(w, frame.object)
            if frame.quiet:
                w.needs = needs
            if w.out_of_memory:
                raise MemoryError()
        return w.total
    finally:
        finish(w)


cdef int64_t size_of(object value) except -1:
    cdef Walk w
    cdef PyObject* o = <PyObject*>value
    cdef PyTypeObject* type = type_of(o)
    cdef int64_t size = 0
    if type is &PyUnicode_Type:
        size = str_bytes(o)
    elif type is &PyLong_Type or type is &PyBool_Type:
        size = int_bytes(o)
    elif type is &PyBytes_Type:
        size = items_bytes(o)
    elif type is &PyFloat_Type or value is None:
        size = type.tp_basicsize
    return whole_words(size) if size else walk(&w, value)


cdef int64_t size_and_form(object value, int* form) except -1:
    cdef Walk w
    w.total = 0
    w.needs = 0
    if not add_leaf(&w, <PyObject*>value):
        walk(&w, value)
    if w.needs & NEEDS_OPAQUE:
        form[0] = FORM_OPAQUE
    else:
        form[0] = FORM_PLAIN if w.needs else FORM_DIRECT
    return w.total


def deep_size(value, /):
    """Bytes that `value` and everything it leads to occupy, shared parts counted once.

    Cost: about 10 ns an object. `__sizeof__` is honoured; one that raises or returns nonsense is
    replaced by the type's basic size. Types, modules and functions inside a value count nothing.
    Each object is rounded up to 8 bytes.

    >>> import sys
    >>> deep_size([0.5, 2.5]) == sys.getsizeof([0.5, 2.5]) + 2 * sys.getsizeof(0.5)
    True
    """
    return size_of(value)


def measure(value, /):
    """`(deep_size(value), form)`: the form is FORM_DIRECT, FORM_PLAIN or FORM_OPAQUE.

    Direct values are trees of None, bool, 64-bit int, float, str, bytes, list and dict with str or
    such int keys, at most 100 deep; plain values are built of builtin data types only; opaque ones
    hold anything else.
    """
    cdef int form = FORM_OPAQUE
    cdef int64_t size = size_and_form(value, &form)
    return size, form
