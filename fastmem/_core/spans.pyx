"""Keys as the bytes they are in a log, without an object for those that most keys are."""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.string cimport memcpy

from fastmem._core.keys cimport TAG_BYTES, TAG_INT, TAG_STR, digits_of, encode


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void* PyUnicode_DATA(object text) noexcept
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef inline bytes held_in(bytes encoded, span_t* span):
    span_in(encoded, span)
    return encoded


cdef bytes span_of(object key, span_t* span):
    cdef const char* content
    cdef Py_ssize_t size
    cdef long long number
    cdef int overflow = 0
    if PyUnicode_CheckExact(key) and PyUnicode_IS_COMPACT_ASCII(key):
        span.inline_data[0] = TAG_STR
        content = <const char*>PyUnicode_DATA(key)
        size = PyUnicode_GET_LENGTH(key)
    elif PyBytes_CheckExact(key):
        span.inline_data[0] = TAG_BYTES
        content = PyBytes_AS_STRING(key)
        size = PyBytes_GET_SIZE(key)
    elif PyLong_CheckExact(key):
        number = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow:
            return held_in(encode(key), span)
        span.inline_data[0] = TAG_INT
        span.data = span.inline_data
        span.size = 1 + digits_of(number, span.inline_data + 1)
        return None
    else:
        return held_in(encode(key), span)
    if size >= SPAN_BYTES:
        return held_in(encode(key), span)
    memcpy(span.inline_data + 1, content, size)
    span.data = span.inline_data
    span.size = size + 1
    return None


cdef bytes bytes_of(bytes holder, const span_t* span):
    return PyBytes_FromStringAndSize(span.data, span.size) if holder is None else holder
