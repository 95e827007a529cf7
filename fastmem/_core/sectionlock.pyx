"""The lock of a section: of one thread in this process, and of one process among all of them."""

import threading

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t
from fastmem._core.clock cimport boot_now_ns
from fastmem._core.descriptor cimport Descriptor

from fastmem.errors import ClosedError, StoreTimeoutError

cdef extern from "waiting.h" nogil:
    int F_WRLCK
    int F_UNLCK
    int fm_lock_bytes(int fd, int64_t start, int64_t length, int kind) noexcept
    void fm_nap(long nanoseconds) noexcept

cdef enum:
    FIRST_NAP_NS = 20000
    LONGEST_NAP_NS = 500000
    PATIENCE_NS = 10000000  # for who is next in line, and may be stopped there


cdef class SectionLock:
    """As threading.RLock, and once shared it keeps other processes out too.

    It is compiled for what RLock is: nothing of Python, so neither an interrupt nor a finalizer,
    comes between taking it and having it taken. A process that dies with it has freed it.
    """

    cdef object inner
    cdef object keeper
    cdef Descriptor procs
    cdef int64_t byte
    cdef int64_t line
    cdef public int64_t timeout_ns  # how long to wait for other processes
    cdef str path
    cdef int depth
    cdef bint held     # the byte, too
    cdef bint orphaned  # in a forked child
    cdef bint inherited  # from a call of the parent, which may give back what is not to be had here
    cdef bint bypassed  # who was next in line when this one came did not move

    def __cinit__(self):
        self.inner = threading.RLock()

    def share(
        self, Descriptor procs not None, int64_t byte, int64_t line, int64_t timeout_ns,
        keeper not None, str path not None,
    ):
        """Keep other processes out by a byte of `procs` from now on; who is next in line for it has
        the byte `line`.

        ``keeper.enter_section()`` is called when they are out, and ``keeper.leave_section()``
        before they may come in again; neither for who is in already. For ``keeper.rejoin()`` see
        `renew`.
        """
        self.procs, self.timeout_ns = procs, timeout_ns
        self.byte, self.line = byte, line
        self.keeper, self.path = keeper, path
        self.orphaned = self.bypassed = False

    def unshare(self):
        """Let go of the file; a held byte goes with it, when its owner closes that."""
        self.procs = self.keeper = None
        self.held = self.orphaned = False

    def renew(self):
        """In a forked child: be free, whatever thread of the parent had it. Who takes it next is
        one of the processes first, by ``keeper.rejoin()``, which is to share it again.

        True when the thread that forked had it: what it gives back from here on is the parent's.
        """
        cdef bint amid = self.inner._is_owned()
        self.inherited |= amid
        self.orphaned |= self.procs is not None  # of one that was orphaned itself, it stays so
        self.procs = None
        self.held = False
        self.inner = threading.RLock()
        self.depth = 0
        return amid

    def acquire(self, bint blocking=True):
        """Take the lock. False when it is not free and `blocking` is false.

        StoreTimeoutError when another process has kept it for too long.
        """
        if not self.inner.acquire(blocking):
            return False
        self.depth += 1
        if self.depth > 1 or (self.procs is None and not self.orphaned):
            return True
        try:
            if self.orphaned:
                self.keeper.rejoin()
            if self.exclude(blocking):
                self.keeper.enter_section()
                return True
        except BaseException:
            self.let_go()
            raise
        self.let_go()
        return False

    def release(self):
        """Give it back."""
        try:
            if self.depth == 1 and self.held:
                self.keeper.leave_section()
        finally:
            self.let_go()

    def apart(self):
        """A context in which a forked child has the lock without being one of the processes: it
        yields True; or False, and it has not, when it is one by now.
        """
        return Apart(self)

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()

    cdef bint exclude(self, bint blocking) except -1:
        """Keep other processes out: in two steps, so that who gives the lock back and wants it
        again comes after the one who waits for it. One that is stopped while it waits must not
        stop everybody else: after a while they go past it, and do so at once from then on, until it
        is gone.
        """
        cdef Descriptor procs = self.procs
        cdef int64_t now = boot_now_ns()
        cdef int64_t until = now + self.timeout_ns if blocking else 0
        cdef bint waits = blocking and not self.bypassed
        cdef bint in_line = self.take_byte(procs, self.line, min(now + PATIENCE_NS, until) * waits)
        if not in_line and not blocking and not self.bypassed:
            return False
        self.bypassed = not in_line
        try:
            self.held = self.take_byte(procs, self.byte, until)
        finally:
            if in_line:
                fm_lock_bytes(procs.fd, self.line, 1, F_UNLCK)
        if blocking and not self.held:
            raise StoreTimeoutError(
                f"another process has been at work on its files for "
                f"{self.timeout_ns / 1e9:.3g} s; is it stopped?",
                self.path,
            )
        if self.procs is not procs:  # closed by who had the lock before
            self.held = False
            fm_lock_bytes(procs.fd, self.byte, 1, F_UNLCK)
            raise ClosedError(f"the store is closed: {self.path!r}")
        return self.held

    cdef bint take_byte(self, Descriptor procs, int64_t byte, int64_t until) except -1:
        """Lock a byte; False when it is not free by then. 0: without waiting."""
        cdef long nap = FIRST_NAP_NS
        while fm_lock_bytes(procs.fd, byte, 1, F_WRLCK):
            if boot_now_ns() > until:
                return False
            with nogil:
                fm_nap(nap)
            nap = min(2 * nap, LONGEST_NAP_NS)
            PyErr_CheckSignals()
            if procs.fd < 0:
                raise ClosedError(f"a call of the parent of this process: {self.path!r}")
        return True

    cdef int let_go(self) except -1:
        if self.inherited and not self.inner._is_owned():
            return 0
        if self.depth == 1 and self.held:
            self.held = False
            fm_lock_bytes(self.procs.fd, self.byte, 1, F_UNLCK)
        self.depth -= 1
        self.inner.release()
        return 0


cdef class Apart:
    """See `SectionLock.apart`."""

    cdef SectionLock lock
    cdef bint taken

    def __cinit__(self, SectionLock lock not None):
        self.lock = lock

    def __enter__(self):
        self.lock.inner.acquire()
        self.lock.depth += 1
        self.taken = self.lock.orphaned
        if not self.taken:
            self.lock.let_go()
        return self.taken

    def __exit__(self, *_):
        if self.taken:
            self.lock.let_go()
