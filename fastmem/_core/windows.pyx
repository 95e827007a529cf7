"""Bytes of a mapping that stays mapped while somebody looks at them: what a view stands on.

A view outlives whatever becomes of the file: reclaim, deletion and replacement unlink it, close()
closes the mapping, and the bytes stay until the last view of them is gone. Nothing ever writes to
them, for records are never overwritten. Only who truncates the file from outside, or a device that
fails, can take them away: touching them is then a SIGBUS, which no Python code can catch; `digest`
and `copy` raise OSError.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EIO
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy
from fastmem._core.faults cimport guarded
from fastmem._core.hashing cimport xxh3

cdef enum:
    # A bit of `checked` stands for so many bytes. No two values of that length or more begin in the
    # same ones, since records do not overlap: so a bit is of one value, and 64 MiB take 2 KiB.
    CHECKED_SHIFT = 12
    LEAST_VOUCHED = 1 << CHECKED_SHIFT

LEAST_VOUCHED_BYTES = LEAST_VOUCHED

ctypedef struct sum_t:
    const char* start
    size_t size
    uint64_t digest

ctypedef struct part_t:
    char* to
    const char* start
    size_t size


cdef int raise_missing() except -1:
    raise OSError(EIO, "a page of its file is gone, or cannot be had")


cdef void take_sum(void* facts) noexcept nogil:
    cdef sum_t* sum = <sum_t*>facts
    sum.digest = xxh3(sum.start, sum.size)


cdef void take_part(void* facts) noexcept nogil:
    cdef part_t* part = <part_t*>facts
    memcpy(part.to, part.start, part.size)


@cython.auto_pickle(False)
@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Window:
    """`size` bytes of a mapping from `offset` on, read-only to every buffer taken of it.

    It keeps the mapping while it lives, whether buffers of it are released or not: numpy releases
    at once what it builds an array on, and holds on to the object. It is no container for the
    garbage collector, so that making one runs no finalizer.
    """

    def __init__(self, *_args, **_more):
        raise TypeError("a Window is made by window_of()")

    def __dealloc__(self):
        if self.mapping is not None:
            self.mapping.give_back()

    cdef int require(self) except -1:
        if self.mapping is None:
            raise ValueError("a Window onto nothing")
        return 0

    def __reduce__(self):
        raise TypeError("cannot pickle a Window: what it stands for belongs to a mapping")

    def __len__(self):
        return self.size

    def part(self, size_t offset, size_t size):
        """Return a Window of some of its bytes, which does without this one."""
        self.require()
        if size > <size_t>self.size or offset > self.size - size:
            raise ValueError(f"{size} bytes at {offset} outside {self.size}")
        return window_over(self.mapping, self.start + offset, size)

    def digest(self):
        """Return the XXH3 64-bit digest of the bytes. It lets other threads run meanwhile. OSError
        where a page of them is missing.
        """
        cdef sum_t sum
        cdef uint64_t fault
        self.require()
        sum.start = self.start
        sum.size = self.size
        with nogil:
            fault = guarded(take_sum, &sum)
        if fault:
            raise_missing()
        return sum.digest

    def copy(self, size_t offset, size_t size):
        """Return a copy of some of its bytes. OSError where a page of them is missing."""
        self.require()
        if size > <size_t>self.size or offset > self.size - size:
            raise ValueError(f"{size} bytes at {offset} outside {self.size}")
        cdef bytes found = PyBytes_FromStringAndSize(NULL, size)
        cdef part_t part = part_t(PyBytes_AS_STRING(found), self.start + offset, size)
        if guarded(take_part, &part):
            raise_missing()
        return found

    @property
    def vouched(self):
        """True for bytes that were vouched for since the mapping was made."""
        return self.is_vouched()

    cdef bint is_vouched(self) noexcept:
        cdef size_t bit
        if self.size < LEAST_VOUCHED or self.mapping.checked == NULL:
            return False
        bit = (self.start - self.mapping.base) >> CHECKED_SHIFT
        return self.mapping.checked[bit >> 3] & (1 << (bit & 7)) != 0

    def vouch(self):
        """Note that the bytes are what was written, so that nobody needs to look again.

        For the life of the mapping, and only of LEAST_VOUCHED_BYTES or more: fewer are looked at
        each time. It is no harm when there is no memory for the note.
        """
        cdef size_t bit
        if self.size < LEAST_VOUCHED:
            return
        if self.mapping.checked == NULL:
            self.mapping.checked = <uint8_t*>calloc(
                (self.mapping.size >> (CHECKED_SHIFT + 3)) + 1, 1
            )
            if self.mapping.checked == NULL:
                return
        bit = (self.start - self.mapping.base) >> CHECKED_SHIFT
        self.mapping.checked[bit >> 3] |= 1 << (bit & 7)

    def __getbuffer__(self, Py_buffer* view, int flags):
        self.require()
        PyBuffer_FillInfo(view, self, <void*>self.start, self.size, True, flags)


cdef Window window_over(Mapping mapping, const char* start, Py_ssize_t size):
    cdef Window window = Window.__new__(Window)
    window.start = start
    window.size = size
    window.mapping = mapping
    mapping.exports += 1
    return window


cdef bint covers(Mapping mapping, const char* place) noexcept:
    return (
        not mapping.closed and mapping.base != NULL
        and mapping.base <= place < mapping.base + mapping.size
    )


def window_of(Mapping mapping not None, size_t offset, size_t size):
    """Return `size` bytes of a mapping from `offset` on. ValueError outside it, and when closed."""
    if size > mapping.size or offset > mapping.size - size:
        raise ValueError(f"{size} bytes at {offset} outside {mapping.size}")
    if mapping.closed or mapping.base == NULL:
        raise ValueError("the mapping is closed")
    return window_over(mapping, mapping.base + offset, size)


@cython.final
cdef class MappedFile:
    """A value file that is mapped and verified, and where in it the value lies."""

    def __cinit__(
        self, Mapping mapping not None, uint64_t start, uint64_t length, bytes body not None
    ):
        self.mapping = mapping
        self.start = start
        self.length = length
        self.body = body

    def window(self):
        """Return the value, None when the mapping was closed meanwhile."""
        cdef const char* base = self.mapping.base
        if not covers(self.mapping, base + self.start):
            return None
        return window_over(self.mapping, base + self.start, self.length)
