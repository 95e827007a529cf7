"""Values that most are: exact bytes, exact str, and trees of plain types as MessagePack."""

# Ids of bodies; part of the file format.
cdef enum:
    RAW_BYTES = 1
    TEXT = 2
    MSGPACK = 3

ctypedef struct body_t:  # an encoded value where it lies
    const char* data
    Py_ssize_t size
    int codec


cdef class PlainCodec:
    cdef object pack
    cdef object unpack
    cdef bint encodes   # False: a serializer takes every value

    # The object that holds the body of a plain value, a bytes or an ASCII str; None when there is
    # none such. `form` is what sizing tells of the value, trusted as `ValueCodec.encode` does. Runs
    # no user code.
    cdef object body_of(self, object value, int form, body_t* body)
    # A new value of a plain body. Raises what its decoder does.
    cdef object value_of(self, int codec, bytes body)


cdef inline bint is_plain(int codec) noexcept nogil:
    return RAW_BYTES <= codec <= MSGPACK


# The body that an object holds.
cdef void body_in(object holder, int codec, body_t* body) noexcept
# The same as bytes.
cdef bytes body_bytes(object holder, const body_t* body)
