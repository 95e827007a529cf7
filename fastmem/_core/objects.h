/* What the structs of CPython's own types say about an object: bytes, contents, traversal.
 * Nothing here runs user code or fails; sizes are those of sys.getsizeof, its header apart. */
#ifndef FASTMEM_OBJECTS_H
#define FASTMEM_OBJECTS_H
#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#define FM_HUGE ((int64_t)1 << 61) /* sizes saturate here; two of them still add up */
#ifdef Py_GIL_DISABLED /* the collector finds objects through their pages */
#define FM_COLLECTOR_HEADER 0
#else
#define FM_COLLECTOR_HEADER 16
#endif
#define FM_HEADER_FLAGS ((1UL << 3) | (1UL << 4)) /* managed dict or weakrefs: 16 */

static inline int64_t fm_header_bytes(PyObject *o) {
    PyTypeObject *type = Py_TYPE(o);
    if (!PyType_HasFeature(type, Py_TPFLAGS_HAVE_GC)) return 0;
    return FM_COLLECTOR_HEADER + (type->tp_flags & FM_HEADER_FLAGS ? 16 : 0);
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
static inline PyTypeObject *fm_solid_type(PyTypeObject *type, traverseproc python_class) {
    while (type != NULL && type->tp_traverse == python_class) type = type->tp_base;
    return type;
}

static inline traverseproc fm_solid_traverse(PyTypeObject *type, traverseproc python_class) {
    type = fm_solid_type(type, python_class);
    return type == NULL ? NULL : type->tp_traverse;
}

/* A buffer that is the object's own, and not what a class written in Python hands out. */
static inline int fm_exports_buffer(PyTypeObject *type, traverseproc python_class) {
    type = fm_solid_type(type, python_class);
    return type != NULL && type->tp_as_buffer != NULL && type->tp_as_buffer->bf_getbuffer != NULL;
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

#endif
