"""Making a record for Python of what a look has found."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from fastmem._core.faults cimport guarded_pair
from fastmem._core.hashing cimport xxh3
from fastmem._core.layout cimport FM_COLD, FM_COMPRESSED, FM_TIER_BIT, FM_VALUE, fm_record
from fastmem._core.looking cimport (
    copy_out, copy_version, look_again, look_at_once, outcome_of,
)
from fastmem._core.plain cimport is_plain
from fastmem._core.record cimport body_bytes, body_offset

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* content, Py_ssize_t length) noexcept
    char* start_of "PyBytes_AS_STRING"(PyObject* content) noexcept nogil
    void Py_DECREF(PyObject* o) noexcept


@cython.no_gc
cdef class Record:
    """A record copied out of the log. `body` is the value and its MAC, or None when not read, when
    its checksum is wrong, or when a page of it is missing; `window` the value where it lies, if
    that is what was asked for (viewing.pyx).

    It holds nothing but bytes and so is no container for the garbage collector: making one
    never runs a finalizer while the log holds pointers into its maps.
    """


cdef int read_up(read_t* read) except -1:
    cdef look_t* look = &read.look
    cdef uint64_t fault
    read.body = NULL
    look.log.asleep = 0
    look.log.wary = look.log.eager = True
    fault = guarded_pair(look_at_once, make_room, copy_body, read)
    look.log.wary = look.log.eager = False
    if fault:
        read_again(read)
    elif read.body == NULL and is_wanted(read):
        raise MemoryError()
    return outcome_of(look)


cdef inline bint is_wanted(const read_t* read) noexcept nogil:
    """Whether there is a body to be copied."""
    cdef const fm_record* head = &read.look.found.head
    if read.look.found.word == 0:
        return False
    return not read.plain or (
        head.kind == FM_VALUE and is_plain(head.codec) and head.mac_key == 0
        and not head.flags & FM_COMPRESSED and not read.look.found.word & FM_TIER_BIT
    )


cdef bint make_room(void* facts) noexcept:
    cdef read_t* read = <read_t*>facts
    if not is_wanted(read):
        return False
    read.body = new_bytes(NULL, body_bytes(&read.look.found.head))
    return read.body != NULL


cdef void copy_body(void* facts) noexcept nogil:
    cdef read_t* read = <read_t*>facts
    cdef const fm_record* head = &read.look.found.head
    memcpy(
        start_of(read.body),
        <const char*>read.look.found.place.record + body_offset(head, read.look.found.place.at),
        body_bytes(head),
    )


cdef int read_again(read_t* read) except -1:
    """After a fault: what was found, and cannot be copied, is without a body."""
    cdef look_t* look = &read.look
    look.log.faults += 1
    if read.body == NULL:
        look.log.wary = True
        look_again(look)
        look.log.wary = False
        if not make_room(read):
            if is_wanted(read):
                raise MemoryError()
            return 0
        if copy_out(look.log, &look.found, NULL, start_of(read.body)):
            return 0
    Py_DECREF(read.body)
    read.body = NULL
    return 0


cdef bytes body_read(read_t* read):
    cdef bytes body
    if read.body == NULL:
        return None
    body = <bytes>read.body
    Py_DECREF(read.body)
    read.body = NULL
    if xxh3(PyBytes_AS_STRING(body), body_bytes(&read.look.found.head)) != (
        read.look.found.head.bcheck
    ):
        return None
    return body


cdef Record record_read(read_t* read, bytes key):
    cdef Record record = record_found(&read.look, key)
    record.body = body_read(read)
    return record


cdef Record record_found(const look_t* look, bytes key):
    cdef Record record = head_of(&look.found)
    record.key = key
    record.home = look.home
    record.stamp = look.stamp
    return record


cdef inline Record head_of(const copy_t* copy):
    cdef const fm_record* head = &copy.head
    cdef Record record = Record.__new__(Record)
    record.word = copy.word
    record.version = copy_version(copy)
    record.deadline_ns = head.deadline_ns
    record.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
    record.dictionary = head.dictionary
    record.raw_len = head.vlen
    record.codec = head.codec
    record.mac_key = head.mac_key
    record.kind = head.kind
    record.flags = head.flags
    if head.flags & FM_COLD:
        record.raw_len = copy.cold.raw_len
        record.archived_s = copy.cold.archived_s
    return record


cdef Record record_of(log_t* log, const copy_t* copy, bint with_body):
    """Make a Record of what was come to, its body copied if asked for. The key is None where it
    cannot be read.
    """
    cdef const fm_record* head = &copy.head
    cdef Record record = head_of(copy)
    cdef char* body_to = NULL
    record.key = PyBytes_FromStringAndSize(NULL, head.klen)
    if with_body:
        record.body = PyBytes_FromStringAndSize(NULL, body_bytes(head))
        body_to = PyBytes_AS_STRING(record.body)
    if not copy_out(log, copy, PyBytes_AS_STRING(record.key), body_to):
        record.body = None
        if not copy_out(log, copy, PyBytes_AS_STRING(record.key), NULL):
            record.key = None
    elif with_body and xxh3(body_to, body_bytes(head)) != head.bcheck:
        record.body = None
    return record


cdef bytes body_of(log_t* log, const copy_t* copy):
    cdef uint64_t length = body_bytes(&copy.head)
    body = PyBytes_FromStringAndSize(NULL, length)
    if not copy_out(log, copy, NULL, PyBytes_AS_STRING(body)):
        return None
    return body if xxh3(PyBytes_AS_STRING(body), length) == copy.head.bcheck else None
