"""Tier keys as canonical bytes: equal keys, and only those, have equal bytes.

One tag byte, then the content::

    's'  str     UTF-8, a lone surrogate as its three bytes ("surrogatepass")
    'b'  bytes   as they are
    'i'  int     two's complement, big-endian, as few bytes as hold the sign; 0 is one byte
    't'  tuple   count, then for each item: length, the item encoded by this same table

``count`` and ``length`` are u16, big-endian: 65,536 bytes, the limit of an encoded key, leave room
for neither more items nor longer ones. An encoded str begins with the encoding of each of its
prefixes. Only exact types are keys: True == 1 == 1.0 and a subclass's own ``__eq__`` would give
one key several encodings.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from fastmem._core.key_types cimport BYTES_LIMIT, DEPTH_LIMIT, ITEM_BYTES, require_exact

from fastmem.errors import ValueTooLargeError


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void* PyUnicode_DATA(object text) noexcept
    bytes PyUnicode_AsEncodedString(object text, const char* encoding, const char* errors)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1


cdef enum:
    INLINE_BYTES = 512

KEY_BYTES_LIMIT = BYTES_LIMIT
KEY_DEPTH_LIMIT = DEPTH_LIMIT


# -- encoding ---------------------------------------------------------------------------------

cdef bytes encode(object key):
    """The canonical bytes of a key; see `encode_key`."""
    cdef bytes text
    if PyUnicode_CheckExact(key):
        if PyUnicode_IS_COMPACT_ASCII(key):
            return tagged(TAG_STR, <const char*>PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key))
        text = utf8(key)
        return tagged(TAG_STR, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    if PyBytes_CheckExact(key):
        return tagged(TAG_BYTES, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    return encode_through_buffer(key)


cdef inline bytes tagged(char tag, const char* content, Py_ssize_t size):
    cdef bytes result
    cdef char* target
    if size >= BYTES_LIMIT:
        raise ValueTooLargeError(size + 1, BYTES_LIMIT)
    result = PyBytes_FromStringAndSize(NULL, size + 1)
    target = PyBytes_AS_STRING(result)
    target[0] = tag
    memcpy(target + 1, content, size)
    return result


cdef bytes utf8(object text):
    # Not PyUnicode_AsUTF8AndSize: it would leave a copy inside the caller's str, unaccounted.
    # A code point takes at least one byte, so a text too long is refused before it is encoded.
    if PyUnicode_GET_LENGTH(text) >= BYTES_LIMIT:
        raise ValueTooLargeError(PyUnicode_GET_LENGTH(text) + 1, BYTES_LIMIT)
    return PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass")


cdef struct Buffer:
    char* data                                # `inline_data`, or memory of our own
    Py_ssize_t used
    Py_ssize_t room
    char inline_data[INLINE_BYTES]


cdef bytes encode_through_buffer(object key):
    cdef Buffer buffer
    require_exact(key)
    buffer.data = buffer.inline_data
    buffer.used = 0
    buffer.room = INLINE_BYTES
    try:
        append_key(&buffer, key)
        return PyBytes_FromStringAndSize(buffer.data, buffer.used)
    finally:
        if buffer.data != buffer.inline_data:
            PyMem_Free(buffer.data)


cdef int reserve(Buffer* buffer, Py_ssize_t size) except -1:
    cdef Py_ssize_t room = buffer.room
    cdef char* data
    if size > BYTES_LIMIT - buffer.used:
        raise ValueTooLargeError(buffer.used + size, BYTES_LIMIT)
    if size <= room - buffer.used:
        return 0
    while room - buffer.used < size:
        room *= 2
    if buffer.data == buffer.inline_data:
        data = <char*>PyMem_Realloc(NULL, room)
        if data != NULL:
            memcpy(data, buffer.inline_data, buffer.used)
    else:
        data = <char*>PyMem_Realloc(buffer.data, room)
    if data == NULL:
        raise MemoryError
    buffer.data = data
    buffer.room = room
    return 0


cdef int append(Buffer* buffer, char tag, const char* content, Py_ssize_t size) except -1:
    reserve(buffer, size + 1)
    buffer.data[buffer.used] = tag
    memcpy(buffer.data + buffer.used + 1, content, size)
    buffer.used += size + 1
    return 0


cdef inline void store_u16(char* place, Py_ssize_t number) noexcept:
    place[0] = <char>(number >> 8)
    place[1] = <char>(number & 255)


cdef int append_key(Buffer* buffer, object key) except -1:
    """Append the encoding of a key that `require_exact` let pass."""
    cdef bytes text
    if PyUnicode_CheckExact(key):
        if PyUnicode_IS_COMPACT_ASCII(key):
            append(buffer, TAG_STR, <const char*>PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key))
        else:
            text = utf8(key)
            append(buffer, TAG_STR, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    elif PyLong_CheckExact(key):
        append_int(buffer, key)
    elif PyBytes_CheckExact(key):
        append(buffer, TAG_BYTES, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    else:
        append_tuple(buffer, key)
    return 0


cdef Py_ssize_t digits_of(long long number, char* digits) noexcept:
    cdef Py_ssize_t i, size = 1
    while size < 8 and (number >> (8 * size - 1)) != (number >> 63):
        size += 1
    for i in range(size):
        digits[i] = <char>(number >> (8 * (size - 1 - i)))
    return size


cdef int append_int(Buffer* buffer, object key) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(key, &overflow)
    cdef Py_ssize_t size
    cdef char digits[8]
    cdef bytes large
    if overflow:
        size = (key if overflow > 0 else ~key).bit_length() // 8 + 1
        if size >= BYTES_LIMIT:
            raise ValueTooLargeError(size + 1, BYTES_LIMIT)
        large = key.to_bytes(size, "big", signed=True)
        return append(buffer, TAG_INT, PyBytes_AS_STRING(large), size)
    return append(buffer, TAG_INT, digits, digits_of(number, digits))


cdef int append_tuple(Buffer* buffer, object key) except -1:
    cdef Py_ssize_t count = PyTuple_GET_SIZE(key)
    cdef Py_ssize_t i
    cdef Py_ssize_t start
    cdef char head[2]
    store_u16(head, count)                    # `require_exact` bounds the count far below 2**16
    append(buffer, TAG_TUPLE, head, 2)
    for i in range(count):
        reserve(buffer, 2)
        start = buffer.used + 2
        buffer.used = start
        append_key(buffer, <object>PyTuple_GET_ITEM(key, i))
        store_u16(buffer.data + start - 2, buffer.used - start)
    return 0


def encode_key(object key):
    """The canonical bytes of a key: equal for equal keys, different for different ones.

    Keys are exact ``str``, ``bytes``, ``int`` and tuples of these, at most 100 deep. O(length),
    one allocation for ASCII text and bytes. Raises `KeyTypeError` naming the place of anything
    else (``... not float at key[1]``) and `ValueTooLargeError` when the encoding is
    longer than 65,536 bytes; a tuple is given up at the first byte too many, so ``size`` is then
    what was reached.

    >>> encode_key("user:7"), encode_key(("user", 7))
    (b'suser:7', b't\\x00\\x02\\x00\\x05suser\\x00\\x02i\\x07')
    """
    return encode(key)


# -- decoding ---------------------------------------------------------------------------------

cdef inline Py_ssize_t load_u16(const unsigned char* place) noexcept:
    return (<Py_ssize_t>place[0] << 8) | place[1]


cdef object decode_span(
    const unsigned char* data, Py_ssize_t start, Py_ssize_t end, int depth
):
    """The key whose encoding is exactly data[start:end]."""
    cdef const char* content
    cdef Py_ssize_t size = end - start - 1
    cdef unsigned char tag
    if size < 0:
        raise ValueError(f"malformed key: nothing at offset {start}")
    tag = data[start]
    content = <const char*>data + start + 1
    if tag == TAG_STR:
        try:
            return PyUnicode_DecodeUTF8(content, size, "surrogatepass")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"malformed key: {error.reason} at offset {start + 1 + error.start}"
            ) from None
    if tag == TAG_BYTES:
        return PyBytes_FromStringAndSize(content, size)
    if tag == TAG_INT:
        if size == 0 or (size > 1 and is_sign_only(data[start + 1], data[start + 2])):
            raise ValueError(f"malformed key: int of {size} bytes not minimal at offset {start}")
        return int.from_bytes(PyBytes_FromStringAndSize(content, size), "big", signed=True)
    if tag == TAG_TUPLE:
        return decode_tuple(data, start, end, depth)
    raise ValueError(f"malformed key: unknown tag {tag:#04x} at offset {start}")


cdef inline bint is_sign_only(unsigned char first, unsigned char second) noexcept:
    """Whether the first byte of an int only repeats the sign of the second."""
    return (first == 0 and second < 128) or (first == 255 and second >= 128)


cdef object decode_tuple(
    const unsigned char* data, Py_ssize_t start, Py_ssize_t end, int depth
):
    cdef Py_ssize_t place = start + 3
    cdef Py_ssize_t _item
    cdef Py_ssize_t size
    cdef list items = []
    if depth == DEPTH_LIMIT:
        raise ValueError(f"malformed key: nested more than {DEPTH_LIMIT} deep at offset {start}")
    if place > end:
        raise ValueError(f"malformed key: cut tuple at offset {start}")
    for _item in range(load_u16(data + start + 1)):
        if end - place < ITEM_BYTES:
            raise ValueError(f"malformed key: cut tuple at offset {place}")
        size = load_u16(data + place)
        place += 2
        if size > end - place:
            raise ValueError(f"malformed key: item longer than its tuple at offset {place - 2}")
        items.append(decode_span(data, place, place + size, depth + 1))
        place += size
    if place != end:
        raise ValueError(f"malformed key: {end - place} bytes left over at offset {place}")
    return tuple(items)


def decode_key(object data not None):
    """The key that `encode_key` turned into these bytes; O(length).

    Any other bytes, also other spellings of a key, raise `ValueError` with the offset.

    >>> decode_key(b"suser:7")
    'user:7'
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len > BYTES_LIMIT:
            raise ValueError(
                f"malformed key: {view.len} bytes, more than {BYTES_LIMIT}, at offset {BYTES_LIMIT}"
            )
        return decode_span(<const unsigned char*>view.buf, 0, view.len, 0)
    finally:
        PyBuffer_Release(&view)
