"""What Linux has and the standard library lacks: mappings without a kept descriptor, populate,
fallocate without glibc's emulation, a rename that replaces nothing, and what a file system tells of
itself.

Nothing here opens a file: callers hand over descriptors, and a mapping outlives the descriptor.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.exc cimport PyErr_SetFromErrno

from libc.stdlib cimport free
from libc.string cimport strerror

cdef extern from * nogil:
    """
    #define _FASTMEM_MAPPING 1
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <sys/vfs.h>
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    static long fm_filesystem(int fd) {
        struct statfs facts;
        return fstatfs(fd, &facts) ? -1 : (long)(facts.f_type & 0xffffffffL);
    }
    #ifndef AT_HANDLE_FID
    #define AT_HANDLE_FID 0x200
    #endif
    struct fm_handle { unsigned int bytes; int type; unsigned char data[128]; };
    int name_to_handle_at(int, const char *, struct file_handle *, int *, int);
    static int fm_overlay_upper(int fd) {
        /* struct ovl_fh: 3 bytes, version, magic, length, flags; flag 4: it was made above */
        struct fm_handle handle = {sizeof handle.data, 0, {0}};
        int mount;
        if (name_to_handle_at(fd, "", (struct file_handle *)&handle, &mount,
                              AT_HANDLE_FID | AT_EMPTY_PATH))
            return -1;
        if (handle.bytes < 8 || handle.type != 0xf8 || handle.data[3] || handle.data[4] != 0xfb)
            return -1;
        return (handle.data[6] & 4) != 0;
    }
    static int fm_rename_new(int folder, const char *old, const char *name) {
        struct stat facts;
        if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
            errno = EEXIST;
            return -1;
        }
        return errno == ENOENT ? renameat(folder, old, folder, name) : -1;
    }
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
    int _c_fallocate "fallocate"(int fd, int mode, long long offset, long long length)
    int munmap(void* base, size_t size)
    int madvise(void* base, size_t size, int advice)
    int msync(void* base, size_t size, int flags)
    int MADV_HUGEPAGE
    int MADV_NOHUGEPAGE
    int MADV_NORMAL
    int MADV_RANDOM
    int MADV_POPULATE_WRITE
    int MS_SYNC
    int errno
    int EINVAL
    long fm_filesystem(int fd)
    int fm_overlay_upper(int fd)
    int fm_rename_new(int folder, const char* old, const char* name)
    char* fm_map(int fd, size_t size, int writable)
    void fm_add_nothing(unsigned long* word)


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

    def __dealloc__(self):
        free(self.checked)
        if self.base != NULL:
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
        if offset + length > self.size or self.base == NULL:
            raise ValueError(f"populate of {length} bytes at {offset} outside {self.size}")
        cdef int failed
        cdef int reason
        cdef char* start = self.base + offset
        self.exports += 1  # a close() by another thread must wait
        with nogil:
            failed = madvise(start, length, MADV_POPULATE_WRITE)
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
        """
        cdef size_t at
        if offset + length > self.size or self.base == NULL or not self.writable:
            raise ValueError(f"rewrite of {length} bytes at {offset} outside {self.size}")
        for at in range(offset & ~<size_t>4095, offset + length, 4096):
            fm_add_nothing(<unsigned long*>(self.base + at))

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


def fallocate(int fd, long long offset, long long length):
    """Allocate blocks for the range, extending the file. OSError when the space is not there."""
    cdef int failed
    with nogil:
        failed = _c_fallocate(fd, 0, offset, length)
    if failed:
        PyErr_SetFromErrno(OSError)


def filesystem_type(int fd):
    """Return the magic number of the file system that holds `fd` (statfs(2) f_type)."""
    cdef long kind = fm_filesystem(fd)
    if kind < 0:
        PyErr_SetFromErrno(OSError)
    return kind


def overlay_upper(int fd):
    """Of a file on an overlay file system: True when it was made on the upper layer, False when on
    a lower one, copied up since or not; None when the kernel does not tell (before 6.6).
    """
    cdef int told = fm_overlay_upper(fd)
    return None if told < 0 else told == 1


def rename_new(int folder, bytes old not None, bytes name not None):
    """Rename a file of a directory unless the new name is taken: FileExistsError.

    One step for all of this process, finalizers and signal handlers included: the GIL is held from
    the look to the rename. Not every file system has RENAME_NOREPLACE.
    """
    if fm_rename_new(folder, old, name) != 0:
        PyErr_SetFromErrno(OSError)
