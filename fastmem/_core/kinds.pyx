"""The types behind kinds.pxd."""

import sys
from array import array as _array
from collections import OrderedDict as _OrderedDict
from collections import defaultdict as _defaultdict
from collections import deque as _deque
from datetime import timezone as _timezone
from functools import partial as _partial
from io import BytesIO as _BytesIO
from io import StringIO as _StringIO
from types import MappingProxyType as _MappingProxyType
from types import MethodType as _MethodType
from types import SimpleNamespace as _SimpleNamespace

from cpython.datetime cimport (
    PyDate_CheckExact, PyDateTime_CheckExact, PyDelta_CheckExact, PyTime_CheckExact,
    datetime_tzinfo, import_datetime, time_tzinfo,
)
from cpython.object cimport traverseproc
from cpython.ref cimport Py_DECREF

from fastmem._core.objects cimport (
    PyByteArray_Type, PyComplex_Type, PyDict_Type, PyList_Type, PySet_Type, PyTuple_Type,
    PyUnicode_Type, solid_exports, solid_traverse, type_check,
    type_of,
)

cdef extern from "Python.h":
    PyObject* PyImport_GetModule(PyObject* name) except? NULL

import_datetime()


class _Instance:
    """Any class written in Python shares this one's way of being traversed."""


cdef enum:
    DATA_COUNT = 16

cdef PyTypeObject* ARRAY = <PyTypeObject*>_array
cdef PyTypeObject* STREAM = <PyTypeObject*>_BytesIO
cdef PyTypeObject* TIMEZONE = <PyTypeObject*>_timezone
cdef PyTypeObject* NDARRAY = NULL          # numpy's, once a program that has it loaded shows one
cdef object ndarray_type = None            # keeps NDARRAY alive
cdef object base_of = None                 # its own attributes, whatever a subclass makes of them
cdef object view_of = None
cdef traverseproc PYTHON_CLASS = (<PyTypeObject*>_Instance).tp_traverse
cdef object NUMPY = sys.intern("numpy")

# The C level traversals that lead to data and nowhere else.
cdef traverseproc DATA[DATA_COUNT]
DATA[0] = NULL
DATA[1] = PyDict_Type.tp_traverse
DATA[2] = PyList_Type.tp_traverse
DATA[3] = PyTuple_Type.tp_traverse
DATA[4] = PySet_Type.tp_traverse
DATA[5] = (<PyTypeObject*>_deque).tp_traverse
DATA[6] = (<PyTypeObject*>_SimpleNamespace).tp_traverse
DATA[7] = (<PyTypeObject*>BaseException).tp_traverse
DATA[8] = (<PyTypeObject*>_OrderedDict).tp_traverse
DATA[9] = (<PyTypeObject*>_defaultdict).tp_traverse
DATA[10] = (<PyTypeObject*>_partial).tp_traverse
DATA[11] = (<PyTypeObject*>_MappingProxyType).tp_traverse
DATA[12] = (<PyTypeObject*>_MethodType).tp_traverse
# These lead to the attributes of a subclass, and from CPython 3.13 on to the bytes of a stream,
# which its `__sizeof__` has already: there a subclass of BytesIO counts them twice.
DATA[13] = ARRAY.tp_traverse
DATA[14] = STREAM.tp_traverse
DATA[15] = (<PyTypeObject*>_StringIO).tp_traverse


cdef bint leads_to_data(PyTypeObject* type) noexcept:
    cdef traverseproc traverse = solid_traverse(type, PYTHON_CLASS)
    cdef int i
    if type is ARRAY or type is STREAM or type.tp_traverse is NULL:
        return False
    for i in range(DATA_COUNT):
        if traverse is DATA[i]:
            return True
    return False


cdef bint exports_buffer(PyTypeObject* type) noexcept:
    return solid_exports(type, PYTHON_CLASS)


cdef bint is_ndarray(PyObject* o) except -1:
    global NDARRAY, ndarray_type, base_of, view_of
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
        base_of, view_of = found.base.__get__, found.view
        NDARRAY = <PyTypeObject*>ndarray_type
    return type_check(o, NDARRAY)


cdef bint is_exact_ndarray(PyObject* o) noexcept:
    return type_of(o) is NDARRAY


cdef object array_base(object array):
    return base_of(array)


cdef object plain_view(object array):
    return array if type_of(<PyObject*>array) is NDARRAY else view_of(array, ndarray_type)


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
