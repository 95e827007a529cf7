"""Objects as CPython lays them out, for the units that measure them by borrowed pointers."""

from cpython.object cimport PyObject, PyTypeObject, traverseproc
from libc.stdint cimport int64_t

cdef extern from "objects.h":
    const int64_t HUGE "FM_HUGE"
    ctypedef PyObject* (*PyCFunction)(PyObject*, PyObject*) except NULL
    int64_t header_bytes "fm_header_bytes"(PyObject* o) noexcept
    int64_t str_bytes "fm_str_bytes"(PyObject* o) noexcept
    int64_t int_bytes "fm_int_bytes"(PyObject* o) noexcept
    int64_t list_bytes "fm_list_bytes"(PyObject* o) noexcept
    int64_t items_bytes "fm_items_bytes"(PyObject* o) noexcept
    bint int_is_64_bit "fm_int_is_64_bit"(PyObject* o) noexcept
    bint has_surrogates "fm_has_surrogates"(PyObject* o) noexcept
    bint is_program "fm_is_program"(PyObject* o) noexcept
    traverseproc solid_traverse "fm_solid_traverse"(PyTypeObject* t, traverseproc p) noexcept
    bint solid_exports "fm_exports_buffer"(PyTypeObject* t, traverseproc p) noexcept
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
    PyTypeObject PyUnicode_Type, PyLong_Type, PyBytes_Type, PyFloat_Type, PyBool_Type
    PyTypeObject PyComplex_Type, PyList_Type, PyTuple_Type, PyDict_Type, PySet_Type
    PyTypeObject PyFrozenSet_Type, PyByteArray_Type, PyMemoryView_Type
