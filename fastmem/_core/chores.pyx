"""What the steps of a log leave to its owner, who does it when the write lock is free again."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove
from fastmem._core cimport needs
from fastmem._core.lookup cimport freed_t


cdef class LogChores(LogReader):
    """Value files that lost their record, and chores."""

    def __dealloc__(self):
        free(self.state.freed)

    cdef int widen_freed(self) except -1:
        """Make room to note one more value file, so that no step has to allocate."""
        cdef uint64_t room = 2 * self.state.freed_room + 4
        cdef freed_t* grown = <freed_t*>realloc(self.state.freed, room * sizeof(freed_t))
        if grown == NULL:
            raise MemoryError()
        self.state.freed = grown
        self.state.freed_room = room
        return 0

    @property
    def freed(self):
        """How many value files lost their record to a step and wait for `drop_freed`."""
        return self.state.freed_count

    def first_freed(self):
        """Return (word of the record that was lost, number of its value file). O(1)."""
        if self.state.freed_count == 0:
            raise IndexError("no value file was freed")
        return self.state.freed[0].word, self.state.freed[0].number

    def drop_freed(self):
        """Forget the first of them."""
        if self.state.freed_count:
            self.state.freed_count -= 1
            memmove(
                self.state.freed, self.state.freed + 1, self.state.freed_count * sizeof(freed_t)
            )

    def forget_work(self):
        """In a forked child: leave to the parent what its steps left to do."""
        self.state.freed_count = 0
        self.state.chores = 0

    def take_appended(self):
        """Return the bytes appended since the last call, and clear the pace chore."""
        cdef uint64_t appended = self.state.appended
        self.state.appended = 0
        self.state.chores &= ~needs.CHORE_PACE
        return appended

    @property
    def chores(self):
        """What the log would like done soon, as bits (CHORE_*)."""
        return self.state.chores

    @chores.setter
    def chores(self, int bits):
        self.state.chores = bits

    @property
    def pace_bytes(self):
        """Ask for a bit of reclaim every so many bytes appended; 0 = never."""
        return self.state.pace_bytes

    @pace_bytes.setter
    def pace_bytes(self, uint64_t length):
        self.state.pace_bytes = length

    @property
    def populate_mark(self):
        """The warm address from which on pages are not known to be populated."""
        return self.state.populate_mark

    @populate_mark.setter
    def populate_mark(self, uint64_t address):
        self.state.populate_mark = address
