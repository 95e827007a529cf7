"""A descriptor that whoever uses it holds. Compiled, because an interrupt that came in a finalizer
of Python would be lost.
"""

cdef extern from "<unistd.h>" nogil:
    int close(int fd)


cdef class Descriptor:
    """Closes `fd` when the last who holds this object lets go of it: so the number is not another
    file's while anybody uses it.
    """
    cdef readonly int fd

    def __cinit__(self, int fd):
        self.fd = fd

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)
