"""One call of a loader, and all who wait for what it returns."""

from libc.stdint cimport uint64_t

from fastmem._core.leases cimport Lease

cdef enum:
    FLYING = 0
    LANDED = 1        # outcome: the value
    FAILED = 2        # outcome: the exception
    ABANDONED = 3     # without an outcome, as by an interrupt: whoever waits tries for himself


cdef class Loading:
    cdef Flight flight             # None once it has come down


cdef class Flight(Lease):
    cdef readonly object loop      # the asyncio loop that runs it; None: a thread does, or nobody
    cdef public object task        # of that loop
    cdef Py_ssize_t callers        # that wait; when the last of them gives up, so does the task
    cdef readonly int state
    cdef object outcome
    cdef object traceback          # of an exception: each who raises it begins with this one
    cdef bint claimed
    cdef unsigned long thread      # that leads it, when no loop does
    cdef list waiters              # callables; None once it has come down
    cdef dict awaited              # flights that this one's loader waits for -> how many times
    cdef uint64_t visit
    cdef Flight below              # of the stack of a search through what is awaited
    cdef Loading loading           # what contexts have of it; None before and after

    # What a context is given, for what is called there to be this flight's doing.
    cdef Loading mark(self)

    # ATOMIC. Makes the caller the one who runs it, in this thread or as a task of `loop`; False
    # when somebody does already.
    cpdef bint claim(self, object loop) noexcept
    # Whether a loop has it that stands still, or was closed: then it may never come down.
    cpdef bint is_stalled(self) except -1
    # The value that it landed with; MISSING of one that was abandoned or is in the air. Raises what
    # it failed with.
    cpdef object result(self)
    # Ends the lease and wakes everybody. Again does nothing.
    cdef int come_down(self, int state, object outcome) except -1


# The flight in the air whose loader is running in this context, or None.
cdef Flight flight_of_context()
