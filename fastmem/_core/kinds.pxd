"""Kinds of objects that are no leaf, list, tuple, dict or set: what may be asked of which."""

from cpython.object cimport PyObject, PyTypeObject

# Instances of Python classes, and of the builtin containers and holders, but not of other extension
# types: those may lead anywhere (a frame's globals, this very cache).
cdef bint leads_to_data(PyTypeObject* type) noexcept

# A buffer of the object's own, and not what a class written in Python hands out.
cdef bint exports_buffer(PyTypeObject* type) noexcept

# numpy is recognised when the program has loaded it, and never imported. -1 with what a half
# imported numpy raised.
cdef bint is_ndarray(PyObject* o) except -1
# After `is_ndarray` said yes. What a subclass redefines is not asked.
cdef bint is_exact_ndarray(PyObject* o) noexcept
cdef object array_base(object array)       # whose memory it shows, or None
cdef object plain_view(object array)       # the same elements as an exact ndarray

# Whether an object that holds no others is of a plain type.
cdef bint is_plain_scalar(PyObject* o) noexcept
