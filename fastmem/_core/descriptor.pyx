"""A descriptor that whoever uses it holds. Compiled, because an interrupt that came in a finalizer
of Python would be lost.
"""

from libc.stdint cimport uint64_t

cdef extern from "forks.h" nogil:
    int fm_do_not_inherit(int* fd, uint64_t* word) noexcept
    void fm_inherit(const uint64_t* word) noexcept
    void fm_close_own(int* fd) noexcept


cdef int forget_in_children(uint64_t* word) except -1:
    """Have `word` set to 0 in every process that is forked from here on."""
    if fm_do_not_inherit(NULL, word):
        raise MemoryError()
    return 0


cdef void remember_in_children(uint64_t* word) noexcept:
    """The opposite; no effect when it is so already."""
    fm_inherit(word)


cdef class Descriptor:
    """Closes `fd` when the last who holds this object lets go of it: so the number is not another
    file's while anybody uses it.

    `inherited` false: a forked child, which else would keep the file's locks as its parent's,
    closes it at once, and finds `fd` -1.
    """

    def __cinit__(self, int fd, bint inherited=True):
        self.fd = fd
        if not inherited and fm_do_not_inherit(&self.fd, NULL):
            raise MemoryError()

    def detach(self):
        """Return `fd`, which is the caller's to close from here on. Of an inherited one only."""
        fd = self.fd
        self.fd = -1
        return fd

    def __dealloc__(self):
        fm_close_own(&self.fd)
