"""Which objects are tier keys: exact str, bytes, int, and tuples of these."""

from cpython.bytes cimport PyBytes_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact

from fastmem.errors import KeyTypeError, ValueTooLargeError

cdef enum:
    ITEMS_LIMIT = BYTES_LIMIT // ITEM_BYTES

cdef enum Verdict:
    EXACT = 0
    WRONG_TYPE = 1
    TOO_DEEP = 2
    TOO_MANY = 3

cdef struct Walk:
    Py_ssize_t items                          # visited so far: a tuple that holds itself shared
    int depth                                 # many times over would be walked for ever
    Py_ssize_t places[DEPTH_LIMIT]            # the index taken at each level
    PyTypeObject* culprit


cdef inline bint is_scalar(object key) noexcept:
    return PyUnicode_CheckExact(key) or PyBytes_CheckExact(key) or PyLong_CheckExact(key)


cdef Verdict walk_tuple(object key, Walk* walk) noexcept:
    cdef Py_ssize_t i
    cdef Verdict verdict
    cdef object item
    if walk.depth == DEPTH_LIMIT:
        return TOO_DEEP
    walk.items += PyTuple_GET_SIZE(key)
    if walk.items > ITEMS_LIMIT:
        return TOO_MANY
    walk.depth += 1
    for i in range(PyTuple_GET_SIZE(key)):
        item = <object>PyTuple_GET_ITEM(key, i)
        if is_scalar(item):
            continue
        walk.places[walk.depth - 1] = i
        if not PyTuple_CheckExact(item):
            walk.culprit = (<PyObject*>item).ob_type
            return WRONG_TYPE
        verdict = walk_tuple(item, walk)
        if verdict != EXACT:
            return verdict
    walk.depth -= 1
    return EXACT


cdef int refuse(Verdict verdict, Walk* walk) except -1:
    cdef int level
    if verdict == TOO_MANY:
        raise ValueTooLargeError(walk.items * ITEM_BYTES, BYTES_LIMIT)
    if verdict == TOO_DEEP:
        raise KeyTypeError(f"keys are tuples nested no more than {DEPTH_LIMIT} deep")
    place = "".join([f"[{walk.places[level]}]" for level in range(walk.depth)])
    # tp_name, because __name__ may run the code of a metaclass.
    name = (<bytes>walk.culprit.tp_name).decode("utf-8", "replace")
    where = f" at key{place}" if place else ""
    raise KeyTypeError(f"keys are str, bytes, int or tuples of these, not {name}{where}")


cdef int require_exact(object key) except -1:
    cdef Walk walk
    cdef Verdict verdict = WRONG_TYPE
    if is_scalar(key):
        return 0
    walk.items = walk.depth = 0
    walk.culprit = (<PyObject*>key).ob_type
    if PyTuple_CheckExact(key):
        verdict = walk_tuple(key, &walk)
    if verdict != EXACT:
        refuse(verdict, &walk)
    return 0
