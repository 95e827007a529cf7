"""Deep size of Python values, and how they can be serialised.

Every distinct object reachable from the value is counted once, at what `sys.getsizeof` says of it
(the collector's header included), rounded up to whole words as allocators do. The walk goes into
containers, instances (attributes and slots), partials, bound methods, mapping proxies, views (their
base) and the objects in arrays, whatever a subclass of ndarray makes of it. Types, modules,
functions with what they close over, and code belong to the program, not to the value: they count
nothing inside one. Objects of other extension types count their `__sizeof__`, and the buffer that
they export if it is not in there (ctypes, mmap: all that is mapped), and no more: what iterators,
generators, ctypes pointers, the text of a StringIO and the nodes of an ElementTree hold goes
uncounted.
"""

from cpython.buffer cimport PyBUF_FULL_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject, PyTypeObject, visitproc
from libc.stdint cimport uint8_t

from fastmem._core.kinds cimport (
    array_base, exports_buffer, is_exact_ndarray, is_ndarray, is_plain_scalar, leads_to_data,
    plain_view,
)
from fastmem._core.objects cimport (
    PyBool_Type, PyBytes_Type, PyFloat_Type, PyFrozenSet_Type, PyLong_Type, PyMemoryView_Type,
    PySet_Type, PyUnicode_Type, dict_next, int_bytes, is_program, items_bytes, separate_values,
    str_bytes, type_of,
)
from fastmem._core.walk cimport (
    NEEDS_OPAQUE, NEEDS_PLAIN, Walk, add, own_size, visit, visit_traversed, walk, whole_words,
)

# The constants of the .pxd, for Python too.
globals().update(FORM_OPAQUE=FORM_OPAQUE, FORM_DIRECT=FORM_DIRECT, FORM_PLAIN=FORM_PLAIN)


cdef int visit_owner(Walk* w, object owner) except -1:
    """The owner of a borrowed buffer adds to the size; what is serialised is the view alone."""
    cdef uint8_t needs = w.needs
    w.quiet = True
    visit(w, <PyObject*>owner)
    w.needs = needs
    return 0


cdef int visit_items(Walk* w, object array) except -1:
    """The objects in an exact ndarray, those in its fields too."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            if dtype[name].hasobject:
                visit_items(w, array[name])
    elif dtype.kind == "O":
        for item in array.flat:
            visit(w, <PyObject*>item)
    return 0


cdef int expand_array(Walk* w, PyObject* o) except -1:
    """An array owns its buffer (then `__sizeof__` has it) or borrows it from its base."""
    array = plain_view(<object>o)
    cdef bint holds_objects = array.dtype.hasobject
    base = array_base(<object>o)
    w.needs |= NEEDS_OPAQUE if holds_objects or not is_exact_ndarray(o) else NEEDS_PLAIN
    if holds_objects:
        visit_items(w, array)
    return visit_owner(w, base) if base is not None else 0


cdef int64_t buffer_bytes(object owner) except -1:
    """The length of what an object exports; 0 when it does not, a closed memory map say."""
    cdef Py_buffer view
    cdef int64_t length
    try:
        PyObject_GetBuffer(owner, &view, PyBUF_FULL_RO)
    except MemoryError:
        raise
    except Exception:
        return 0
    length = view.len
    PyBuffer_Release(&view)
    return length


cdef int expand_buffer(Walk* w, PyObject* o, int64_t own) except -1:
    """What lies in a buffer of its own, where `__sizeof__` does not know of it."""
    cdef int64_t length = buffer_bytes(<object>o)
    w.needs |= NEEDS_OPAQUE
    if length > own:
        add(w, length)
    return 0


cdef int expand_instance(Walk* w, PyObject* o, PyTypeObject* type) except -1:
    """Attributes, slots and items."""
    cdef Py_ssize_t at = 0
    cdef PyObject* key = NULL
    cdef PyObject* value = NULL
    w.needs |= NEEDS_OPAQUE
    w.referents = 0
    type.tp_traverse(o, <visitproc>visit_traversed, w)
    add(w, w.referents * separate_values(type))
    if isinstance(<object>o, dict):  # the traversal of a dict of str keys leaves them out
        while dict_next(o, &at, &key, &value):
            visit(w, key)
            visit(w, value)
    return 0


cdef int expand_object(Walk* w, PyObject* o) except -1:
    """Anything but a leaf or an exact list, tuple or dict."""
    cdef PyTypeObject* type
    cdef int64_t own = own_size(o)
    add(w, own)
    type = type_of(o)  # now: a `__sizeof__` may give the object another, and end the one it had
    if type is &PySet_Type or type is &PyFrozenSet_Type:
        w.needs |= NEEDS_PLAIN
        type.tp_traverse(o, <visitproc>visit_traversed, w)
        return 0
    w.always_note = True
    if leads_to_data(type) and not is_program(o):
        expand_instance(w, o, type)
    elif type is &PyMemoryView_Type:
        w.needs |= NEEDS_OPAQUE
        return visit_owner(w, (<object>o).obj)
    elif is_plain_scalar(o):
        w.needs |= NEEDS_PLAIN
        return 0
    if exports_buffer(type):
        return expand_array(w, o) if is_ndarray(o) else expand_buffer(w, o, own)
    w.needs |= NEEDS_OPAQUE
    return 0


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
    return whole_words(size) if size else walk(&w, value, expand_object)


cdef int64_t size_and_form(object value, int* form) except -1:
    cdef Walk w
    walk(&w, value, expand_object)
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
