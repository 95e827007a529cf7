"""An encoded key where it lies: in a buffer on the stack, or in a bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

cdef enum:
    SPAN_BYTES = 240

ctypedef struct span_t:
    const char* data
    Py_ssize_t size
    uint64_t digest  # in one log: see `aim` in direct.pxd
    char[SPAN_BYTES] inline_data

# What `encode` makes of a key. Returns the bytes that hold it, to be kept as long as the span is
# used, or None when the span holds it by itself. Raises as `encode`.
cdef bytes span_of(object key, span_t* span)
# The key as bytes; `holder` is what `span_of` returned.
cdef bytes bytes_of(bytes holder, const span_t* span)


cdef inline void span_in(bytes encoded, span_t* span) noexcept:
    """The span of an encoded key."""
    span.data = PyBytes_AS_STRING(encoded)
    span.size = PyBytes_GET_SIZE(encoded)
