"""Flights: what many callers wait for is loaded once.

A flight is found by its lease, so no caller joins one whose key has changed since it began. Who
waits, thread or task of any loop, leaves a callable that wakes it. A loader that calls back into
flights waits for them in turn; those edges are noted, and a wait that would close a circle is an
error instead.
"""

from contextvars import ContextVar
from threading import Lock

from cpython.contextvars cimport PyContextVar_Reset, PyContextVar_Set, get_value

from fastmem._core.kept cimport given

from fastmem._core.cache import MISSING

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept

globals().update(FLYING=FLYING)  # for Python too

cdef object MISS = MISSING
cdef object loading = ContextVar("fastmem.loading", default=None)
cdef uint64_t visits = 0
LOOK_AGAIN_S = 1.0  # whether the loop that has a flight stands still


cdef Flight flight_of_context():
    cdef Loading found = get_value(loading, None)
    return None if found is None else found.flight


cdef bint leads_to(Flight start, Flight goal, uint64_t visit) noexcept:
    """ATOMIC. Whether `start` is `goal`, or waits for it through any number of others.

    Those still to be looked at are a stack through the flights themselves, which takes no memory:
    chains may be longer than the stack of C.
    """
    cdef Flight at, further, top = start
    cdef bint found = False
    start.visit = visit
    while top is not None:
        at = top
        top = at.below
        at.below = None
        if found or at is goal:
            found = True
            continue
        for further in at.awaited:
            if further.visit != visit:
                further.visit = visit
                further.below = top
                top = further
    return found


cdef class Loading:
    """What contexts have of a flight, and keep if they were copied: it is emptied when the flight
    comes down, so that none keeps the outcome, and what outlives the load is its doing no more.
    """


cdef class Flight(Lease):
    """One call of a loader for `key`; who claims it makes it."""

    def __cinit__(self, key):
        self.key = key
        self.waiters = []
        self.awaited = {}

    cpdef bint claim(self, object loop) noexcept:
        """Makes the caller the one who makes it, as a task of `loop` or, with None, in this thread;
        whether nobody was yet.
        """
        if self.claimed:
            return False
        self.claimed = True
        self.loop = loop
        if loop is None:
            self.thread = PyThread_get_thread_ident()
        return True

    cpdef bint is_stalled(self) except -1:
        """Whether a loop has it that stands still, or was closed: then it may never come down."""
        return self.loop is not None and not self.loop.is_running()

    cdef int come_down(self, int state, object outcome) except -1:
        cdef object interrupt = None
        cdef list waiters = self.waiters
        if waiters is None:
            return 0
        self.state = state
        self.outcome = outcome
        if state == FAILED:
            self.traceback = outcome.__traceback__
        self.waiters = None
        if self.loading is not None:
            self.loading.flight = None
            self.loading = None
        self.end()
        for wake in waiters:
            try:
                wake()
            except RuntimeError:
                continue  # its loop is closed: nobody waits there any more
            except BaseException as error:  # the others must not sleep for ever
                interrupt = error
        if interrupt is not None:
            raise interrupt
        return 0

    cpdef object result(self):
        """The value that it landed with; MISSING of one that was abandoned, or is in the air.

        Raises what it failed with, in all who ask, and the traceback does not grow with each.
        """
        if self.state == FAILED:
            raise self.outcome.with_traceback(self.traceback)
        return given(self.outcome) if self.state == LANDED else MISS

    def abandon(self):
        """Has all who wait try for themselves."""
        self.come_down(ABANDONED, None)

    def wake_by(self, wake, /):
        """Has `wake()` called when it comes down; False when it has."""
        if self.waiters is None:
            return False
        self.waiters.append(wake)
        return True

    cdef Loading mark(self):
        if self.loading is None:
            self.loading = Loading()
            self.loading.flight = self
        return self.loading

    def depart(self):
        """In the context of the loader: what it calls from here on is this flight's doing."""
        PyContextVar_Set(loading, self.mark())

    def begin_wait(self):
        """Notes that the loader of this context waits for the flight, and returns that loader's
        flight, for ``end_wait``; ``RuntimeError`` if the wait could never end.
        """
        global visits
        cdef Flight mine = flight_of_context()
        cdef bint own = self.thread == PyThread_get_thread_ident()
        visits += 1
        if own or (mine is not None and leads_to(self, mine, visits)):
            raise RuntimeError(f"loading {self.key!r} needs the very value that is being loaded")
        if mine is not None:
            mine.awaited[self] = mine.awaited.get(self, 0) + 1
        self.callers += 1
        return mine

    def end_wait(self, Flight mine):
        """The other end of ``begin_wait``; whether it is in the air and nobody waits any more."""
        self.callers -= 1
        if mine is not None:
            mine.awaited[self] -= 1
            if mine.awaited[self] == 0:
                del mine.awaited[self]
        return self.callers == 0 and self.waiters is not None

    def fly_unwatched(self):
        """Has it go on when nobody waits."""
        self.callers += 1

    def wait(self):
        """Blocks this thread until it has come down or is stalled."""
        if self.waiters is None:
            return
        mine = self.begin_wait()
        try:
            lock = Lock()
            lock.acquire()
            if self.wake_by(lock.release):
                while not lock.acquire(True, -1 if self.loop is None else LOOK_AGAIN_S):
                    if self.is_stalled():
                        break
        finally:
            self.end_wait(mine)

    def call(self, function, tuple args not None, dict kwargs not None):
        """Calls the loader in this thread; whatever happens is noted only in what it raises."""
        cdef Flight outer = flight_of_context()
        cdef object token = PyContextVar_Set(loading, self.mark())
        if outer is not None:
            outer.awaited[self] = 1
        try:
            return function(*args, **kwargs)
        finally:
            PyContextVar_Reset(loading, token)
            if outer is not None:
                del outer.awaited[self]
