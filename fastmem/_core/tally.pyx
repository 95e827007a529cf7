"""Which value files a directory has, and the bytes that they take.

Count and set change together: to other threads, to interrupts and to failing allocations each
method is one step. What a put does after its commit (`publish`) allocates nothing.
"""

from libc.stdint cimport int64_t


cdef class ValueFile:
    """A value file. It holds nothing but bytes, and so is none of the garbage collector's."""

    cdef bytes key       # that it is written for, while it is pending
    cdef int64_t length
    cdef bint abandoned


cdef class Tally:
    """Value files by number. A file is pending until a record leads to it; then it counts."""

    cdef dict files
    cdef int64_t total

    def __cinit__(self):
        self.files = {}

    @property
    def total_bytes(self):
        """Bytes of the files that count."""
        return self.total

    def add(self, number not None, int64_t length):
        """Count a file that was there before."""
        cdef ValueFile file = ValueFile.__new__(ValueFile)
        file.length = length
        self.drop(number)
        self.files[number] = file
        self.total += length

    def begin(self, number not None, bytes key not None):
        """Note a file that is about to be written. It is pending."""
        cdef ValueFile file = ValueFile.__new__(ValueFile)
        file.key = key
        self.drop(number)
        self.files[number] = file

    def measure(self, number not None, int64_t length):
        """Note the bytes that a file takes; 0 for one that counts: it is gone. True when that is
        news.
        """
        cdef ValueFile file = self.files.get(number)
        if file is None or file.length == length:
            return False
        if file.key is None:
            self.total += length - file.length
        file.length = length
        if file.key is None and length == 0:
            del self.files[number]
        return True

    def publish(self, number not None):
        """Count a pending file. No effect on any other."""
        cdef ValueFile file = self.files.get(number)
        if file is not None and file.key is not None:
            file.key = None
            self.total += file.length

    def abandon(self, number not None):
        """Note that nobody is at work on a pending file any more."""
        cdef ValueFile file = self.files.get(number)
        if file is not None:
            file.abandoned = True

    def is_abandoned(self, number not None):
        """True for a pending file that nobody is at work on."""
        cdef ValueFile file = self.files.get(number)
        return file is not None and file.key is not None and file.abandoned

    def knows(self, number not None):
        return number in self.files

    def is_pending(self, number not None):
        cdef ValueFile file = self.files.get(number)
        return file is not None and file.key is not None

    def drop(self, number not None):
        """Forget a file."""
        cdef ValueFile file = self.files.get(number)
        if file is None:
            return
        if file.key is None:
            self.total -= file.length
        del self.files[number]

    def bytes_of(self, number not None):
        """The bytes of a file that counts, 0 when it does not."""
        cdef ValueFile file = self.files.get(number)
        return 0 if file is None or file.key is not None else file.length

    def counted(self):
        """Return {number: bytes} of the files that count."""
        return self.listed(False)

    def pending(self):
        """Return {number: key} of those that do not yet."""
        return self.listed(True)

    cdef dict listed(self, bint pending):
        cdef ValueFile file
        found = {}
        for number in list(self.files):  # a collection may run code that changes it
            file = self.files.get(number)
            if file is not None and (file.key is not None) == pending:
                found[number] = file.key if pending else file.length
        return found
