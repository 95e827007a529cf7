"""Mappings without a kept descriptor, which Linux has and the standard library lacks, and populate.

Nothing here opens a file: callers hand over descriptors, and a mapping outlives the descriptor.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno

from libc.errno cimport EIO
from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, strerror
from fastmem._core.faults cimport guarded, unwatch, watch
from fastmem._core.residency cimport bits_new

cdef extern from * nogil:
    """
    #define _FASTMEM_MAPPING 1
    #include <errno.h>
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22
    #endif
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    static void fm_add_nothing(unsigned long *word) {
        static volatile unsigned long nothing; /* a constant could be left out */
        (void)__atomic_fetch_add(word, nothing, __ATOMIC_RELAXED);
    }
    static char *fm_map(int fd, size_t size, int writable) {
        int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        void *base = fd < 0
            ? mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            : mmap(NULL, size, protection, MAP_SHARED, fd, 0);
        return base == MAP_FAILED ? NULL : (char *)base;
    }
    """
    int munmap(void* base, size_t size)
    int madvise(void* base, size_t size, int advice)
    int msync(void* base, size_t size, int flags)
    int MADV_HUGEPAGE
    int MADV_NOHUGEPAGE
    int MADV_NORMAL
    int MADV_POPULATE_READ
    int MADV_RANDOM
    int MADV_POPULATE_WRITE
    int MS_SYNC
    int errno
    int EINVAL
    char* fm_map(int fd, size_t size, int writable)
    void fm_add_nothing(unsigned long* word)


ctypedef struct move_t:  # of bytes to or from a mapping
    char* to
    const char* origin
    size_t length


cdef void move(void* facts) noexcept nogil:
    cdef move_t* bytes_to_move = <move_t*>facts
    memcpy(bytes_to_move.to, bytes_to_move.origin, bytes_to_move.length)


ctypedef struct scan_t:  # for a byte that is not 0
    const char* at
    const char* end
    size_t stride


cdef void scan(void* facts) noexcept nogil:
    cdef scan_t* way = <scan_t*>facts
    while way.at < way.end and way.at[0] == 0:
        way.at += way.stride


cdef void change_nothing(void* facts) noexcept nogil:
    cdef move_t* span = <move_t*>facts
    cdef size_t at
    for at in range(0, span.length, 4096):
        fm_add_nothing(<unsigned long*>(span.to + at))


cdef class Mapping:
    """`size` bytes of the file `fd`, or of private zeroed memory when `fd` is -1.

    The mapping may be longer than the file: bytes past its end must not be touched until the
    file has grown over them. Buffers taken from it keep it mapped after close().
    """

    def __cinit__(self, int fd, size_t size, bint writable):
        with nogil:
            self.base = fm_map(fd, size, writable)
        if self.base == NULL:
            PyErr_SetFromErrno(OSError)
        self.size = size
        self.writable = writable or fd < 0
        if not watch(self.base, size):
            raise MemoryError()

    def __dealloc__(self):
        free(self.checked)
        free(self.known)
        if self.base != NULL:
            unwatch(self.base)
            munmap(self.base, self.size)

    cdef int unmap(self) except -1:
        """Without the GIL: where nobody else has the file, its pages are given back now, which
        takes 0.1 ms a MiB.
        """
        cdef char* base = self.base
        cdef int failed
        self.base = NULL
        if base == NULL:
            return 0
        unwatch(base)
        with nogil:
            failed = munmap(base, self.size)
        if failed:
            PyErr_SetFromErrno(OSError)
        return 0

    def close(self):
        """Unmap, now or when the last buffer taken from it is released. Idempotent."""
        self.closed = True
        if self.exports == 0:
            self.unmap()

    @property
    def mapped(self):
        """False once it is closed and everything taken from it has been released."""
        return self.base != NULL

    @property
    def viewed(self):
        """True while something taken from it keeps it mapped, whether it is closed or not."""
        return self.exports > 0

    def populate(self, size_t offset, size_t length):
        """Fault in and make writable the pages of [offset, offset + length), without the GIL.

        Return False where the kernel has no MADV_POPULATE_WRITE (before 5.14); pages are then
        faulted one by one as they are written. Cost: about 0.3 ms a MiB.
        """
        return self.fault_in(offset, length, MADV_POPULATE_WRITE)

    def populate_read(self, size_t offset, size_t length):
        """Have the pages of [offset, offset + length) read and mapped, without the GIL; `offset`
        begins a page. Return as `populate` does. OSError (EFAULT): the file ends before.
        """
        return self.fault_in(offset, length, MADV_POPULATE_READ)

    cdef uint64_t* pages_known(self) except NULL:
        """Bits that live as long as the mapping (residency.pxd)."""
        if self.known == NULL:
            self.known = bits_new(self.size)
            if self.known == NULL:
                raise MemoryError()
        return self.known

    cdef bint fault_in(self, size_t offset, size_t length, int advice) except -1:
        if offset + length > self.size or self.base == NULL:
            raise ValueError(f"populate of {length} bytes at {offset} outside {self.size}")
        cdef int failed
        cdef int reason
        cdef char* start = self.base + offset
        self.exports += 1  # a close() by another thread must wait
        with nogil:
            failed = madvise(start, length, advice)
            reason = errno
        self.give_back()
        if failed and reason == EINVAL:
            return False
        if failed:
            raise_errno(reason)
        return True

    def advise(self, *, bint filling):
        """Ask for pages a huge one at a time, and for none read ahead, as suits what is filled from
        its beginning; or for the kernel's own ways again.

        Without effect where the kernel or the file system has none.
        """
        if self.base != NULL:
            madvise(self.base, self.size, MADV_RANDOM if filling else MADV_NORMAL)
            madvise(self.base, self.size, MADV_HUGEPAGE if filling else MADV_NOHUGEPAGE)

    def sync(self, size_t offset, size_t length):
        """Write the pages of [offset, offset + length) to the device and wait, without the GIL.

        OSError when the device failed; the pages then count as clean, so never call it again
        for them and believe the answer.
        """
        cdef size_t start = offset & ~<size_t>4095
        cdef int failed
        cdef int reason
        cdef char* base = self.base
        if offset + length > self.size or base == NULL:
            raise ValueError(f"sync of {length} bytes at {offset} outside {self.size}")
        self.exports += 1  # a close() by another thread must wait
        with nogil:
            failed = msync(base + start, offset + length - start, MS_SYNC)
            reason = errno
        self.give_back()
        if failed:
            raise_errno(reason)

    def rewrite(self, size_t offset, size_t length):
        """Have the pages of [offset, offset + length) count as changed, whatever became of them:
        the next sync writes them once more. Not a byte changes, nor is another process's lost.
        OSError where the file has one of them no more.
        """
        cdef move_t facts
        if offset + length > self.size or self.base == NULL or not self.writable:
            raise ValueError(f"rewrite of {length} bytes at {offset} outside {self.size}")
        facts.to = self.base + (offset & ~<size_t>4095)
        facts.length = self.base + offset + length - facts.to
        if guarded(change_nothing, &facts):
            raise missing(offset)

    def fetch(self, size_t offset, size_t length):
        """Return bytes of the mapping. OSError where the file has none any more."""
        cdef bytes found = PyBytes_FromStringAndSize(NULL, length)
        self.move_guarded(offset, PyBytes_AS_STRING(found), NULL, length)
        return found

    def store(self, size_t offset, bytes content not None):
        """Write bytes into the mapping. OSError where the file has none any more, or the device no
        room: what came before is written.
        """
        if not self.writable:
            raise ValueError("the mapping is for reading")
        self.move_guarded(
            offset, NULL, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content)
        )

    def marked(self, size_t offset, size_t stride, size_t count):
        """Return which are not 0 of `count` bytes, the first at `offset` and each `stride` after
        the one before. OSError where the file has one of them no more. Some microseconds for 4,096.
        """
        found = []
        cdef const char* first = self.base + offset
        cdef scan_t way = scan_t(first, first + stride * count, stride)
        if self.closed or self.base == NULL or offset + stride * count > self.size:
            raise ValueError(f"{count} bytes {stride} apart at {offset}: closed, or outside")
        while True:
            if guarded(scan, &way):
                raise missing(way.at - self.base)
            if way.at >= way.end:
                return found
            found.append((way.at - first) // stride)
            way.at += stride

    cdef int move_guarded(
        self, size_t offset, char* to, const char* origin, size_t length
    ) except -1:
        """Copy between the mapping and memory; the one that is NULL is the mapping."""
        cdef move_t facts
        cdef char* place = self.base + offset
        if self.closed or self.base == NULL:
            raise ValueError("the mapping is closed")
        if offset + length > self.size:
            raise ValueError(f"{length} bytes at {offset} outside {self.size}")
        facts.to = to
        facts.origin = origin
        facts.length = length
        if to == NULL:
            facts.to = place
        else:
            facts.origin = place
        if guarded(move, &facts):
            raise missing(offset)
        return 0

    def __getbuffer__(self, Py_buffer* view, int flags):
        if self.closed or self.base == NULL:
            raise ValueError("the mapping is closed")
        PyBuffer_FillInfo(view, self, self.base, self.size, not self.writable, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer* view):
        self.give_back()

    cdef int give_back(self) except -1:
        self.exports -= 1
        if self.closed and self.exports == 0:
            self.unmap()
        return 0


cdef int raise_errno(int reason) except -1:
    raise OSError(reason, strerror(reason).decode())


cdef object missing(size_t offset):
    return OSError(EIO, f"a page of its file is gone, or cannot be had (offset {offset:,})")
