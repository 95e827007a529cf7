"""`PlainCodec`: the bodies of values that most are; codecs/values.py has the others."""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_CheckExact, PyUnicode_DecodeUTF8

from fastmem._core.sizing cimport FORM_DIRECT

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void* PyUnicode_DATA(object text) noexcept

# The constants of the .pxd, for Python too.
globals().update(RAW_BYTES=RAW_BYTES, TEXT=TEXT, MSGPACK=MSGPACK)


cdef void body_in(object holder, int codec, body_t* body) noexcept:
    if PyBytes_CheckExact(holder):
        body.data = PyBytes_AS_STRING(holder)
        body.size = PyBytes_GET_SIZE(holder)
    else:
        body.data = <const char*>PyUnicode_DATA(holder)
        body.size = PyUnicode_GET_LENGTH(holder)
    body.codec = codec


cdef bytes body_bytes(object holder, const body_t* body):
    if PyBytes_CheckExact(holder):
        return holder
    return PyBytes_FromStringAndSize(body.data, body.size)


cdef inline object held_in(object holder, int codec, body_t* body):
    body_in(holder, codec, body)
    return holder


cdef class PlainCodec:
    """`pack` and `unpack` turn values into MessagePack and back; both run no user code."""

    def __init__(self, pack, unpack, bint encodes):
        self.pack = pack
        self.unpack = unpack
        self.encodes = encodes

    def plain_body(self, value, int form):
        """(codec, body) of a plain value, None when it is none. `form` as for ``encode``."""
        cdef body_t body
        holder = self.body_of(value, form, &body)
        if holder is None:
            return None
        return body.codec, body_bytes(holder, &body)

    cdef object body_of(self, object value, int form, body_t* body):
        if not self.encodes:
            return None
        if PyBytes_CheckExact(value):
            return held_in(value, RAW_BYTES, body)
        if form != FORM_DIRECT:
            return None
        if PyUnicode_CheckExact(value) and PyUnicode_IS_COMPACT_ASCII(value):
            return held_in(value, TEXT, body)
        try:
            if PyUnicode_CheckExact(value):
                return held_in(PyUnicode_AsUTF8String(value), TEXT, body)
            return held_in(self.pack(value), MSGPACK, body)
        except (OverflowError, TypeError, ValueError, RecursionError):
            return None  # not so direct; what it is instead, others find out

    cdef object value_of(self, int codec, bytes body):
        if codec == RAW_BYTES:
            return body
        if codec == TEXT:
            return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), NULL)
        return self.unpack(body)
