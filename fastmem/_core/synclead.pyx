"""The lead of a group commit: one thread of one process syncs, and all others wait for what comes
of it.

Unlike the section's lock it is not to be had after each other: who waits is done as soon as the
log is synced as far as it wants, whoever did that.
"""

import threading

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t
from fastmem._core.clock cimport boot_now_ns
from fastmem._core.descriptor cimport Descriptor
from fastmem._core.faults cimport guarded, work_t
from fastmem._core.layout cimport fm_add, fm_load_settled, fm_store_release, fm_super
from fastmem._core.mapping cimport Mapping

from fastmem.errors import ClosedError, StoreError, StoreTimeoutError

cdef extern from "waiting.h" nogil:
    int F_WRLCK
    int F_UNLCK
    int fm_lock_bytes(int fd, int64_t start, int64_t length, int kind) noexcept
    void fm_futex_wait(uint32_t* flag, uint32_t value, long nanoseconds) noexcept
    void fm_futex_wake(uint32_t* flag) noexcept

cdef enum:
    FAILED = 1          # of `sync_failed`
    SLEEP_NS = 1000000  # after that, who leads may be dead

ctypedef struct told_t:  # what the first page says, and is told: work for a guard is about one
    fm_super* words
    uint64_t syncing
    uint64_t sync_failed
    uint64_t synced
    uint64_t cold_synced
    uint64_t tail
    uint64_t cold_tail
    uint64_t added


cdef void hear(void* facts) noexcept nogil:
    """In that order."""
    cdef told_t* told = <told_t*>facts
    cdef const fm_super* words = told.words
    told.syncing = fm_load_settled(&words.syncing)
    told.sync_failed = fm_load_settled(&words.sync_failed)
    told.synced = fm_load_settled(&words.synced)
    told.cold_synced = fm_load_settled(&words.cold_synced)
    told.tail = fm_load_settled(&words.tail)
    told.cold_tail = fm_load_settled(&words.cold_tail)


cdef void add_to_count(void* facts) noexcept nogil:
    cdef told_t* told = <told_t*>facts
    fm_add(&told.words.syncing, told.added)


cdef void raise_synced(void* facts) noexcept nogil:
    cdef told_t* told = <told_t*>facts
    if told.words.synced < told.synced:
        fm_store_release(&told.words.synced, told.synced)
    if told.words.cold_synced < told.cold_synced:
        fm_store_release(&told.words.cold_synced, told.cold_synced)


cdef class SyncLead:
    """Who leads, among the threads of this process and, once shared, among all processes.

    The word `syncing` of the store's first page is odd from `begin` to `end`: if it is so when the
    lead is to be had, the one before was interrupted, or died, and nobody knows what the device
    told him. What is done under the lead may be called in the middle of itself.
    """

    cdef object inner
    cdef Mapping page
    cdef Descriptor procs
    cdef int64_t byte
    cdef str path
    cdef readonly int depth  # how often its owner has it
    cdef bint inherited      # a call of the parent, which led, goes on in this child

    def __cinit__(self, Mapping page not None, str path not None):
        self.inner = threading.RLock()
        self.page, self.path = page, path

    cdef int attempt(self, work_t work, told_t* told) except -1:
        """StoreError where the first page is missing, ClosedError after close."""
        told.words = <fm_super*>self.page.base
        if told.words == NULL:
            raise ClosedError(f"the store is closed: {self.path!r}")
        if guarded(work, told):
            raise StoreError("the first page is missing: a cut file, or a failed device", self.path)
        return 0

    def share(self, Descriptor procs not None, int64_t byte):
        """Keep other processes from leading by a byte of `procs`, from now on."""
        self.procs, self.byte = procs, byte

    def unshare(self):
        """Let go of the file; a held byte goes with it, when its owner closes that."""
        self.procs = None

    def renew(self):
        """In a forked child: be free, whatever thread of the parent led, and nobody's but this
        process's until it is shared again.

        True when the thread that forked led: what it gives back from here on is the parent's.
        """
        cdef bint amid = self.inner._is_owned()
        self.inherited |= amid
        self.inner, self.depth, self.procs = threading.RLock(), 0, None
        return amid

    @property
    def word(self):
        """What `syncing` is."""
        cdef told_t told
        self.attempt(hear, &told)
        return told.syncing

    @property
    def under_way(self):
        """True while a sync is under way, or was left undone: what is appended by now may be
        promised any moment. False: what was appended by this process is seen by the next one.
        """
        cdef told_t told
        self.attempt(hear, &told)
        return told.syncing & 1 != 0

    def turn(self, uint64_t end, uint64_t cold_end, int64_t timeout_ns, bint needed=False):
        """Return what ``with`` waits by until the log is synced up to these addresses, has failed,
        or the lead is taken: see SyncTurn. `needed`: until the lead is taken.
        """
        return SyncTurn.__new__(SyncTurn, self, end, cold_end, timeout_ns, needed)

    def begin(self):
        """Say that a sync is under way. Return whether the last one was left undone, and the tails
        as of now: what was moved there, by who then saw none under way, lies below them.
        """
        cdef told_t told
        cdef bint undone = False
        self.attempt(hear, &told)
        if self.depth == 1:
            undone = told.syncing & 1
            told.added = 2 if undone else 1
            self.attempt(add_to_count, &told)
            self.attempt(hear, &told)
        return undone, told.tail, told.cold_tail

    def end(self):
        """Say that its outcome is known: `publish` or `sync_failed` has told it."""
        cdef told_t told
        self.attempt(hear, &told)
        if self.depth == 1 and told.syncing & 1:
            told.added = 1
            self.attempt(add_to_count, &told)

    def publish(self, uint64_t end, uint64_t cold_end):
        """The log is synced up to there, and never less far than it was."""
        cdef told_t told
        told.synced, told.cold_synced = end, cold_end
        self.attempt(raise_synced, &told)

    cdef bint take(self) except -1:
        """Take the lead, if it is to be had now."""
        if not self.inner.acquire(False):
            return False
        if self.depth or self.procs is None or not fm_lock_bytes(
            self.procs.fd, self.byte, 1, F_WRLCK
        ):
            self.depth += 1
            return True
        self.inner.release()
        return False

    cdef int give_back(self) except -1:
        cdef told_t told
        if self.inherited and not self.inner._is_owned():
            return 0
        self.depth -= 1
        if self.depth == 0:
            if self.procs is not None:
                fm_lock_bytes(self.procs.fd, self.byte, 1, F_UNLCK)
            told.words = <fm_super*>self.page.base
            told.added = 2
            if told.words != NULL and self.page.writable:
                # After the byte: who has seen it locked, and not this, does not go to sleep. Where
                # the page is missing, those who sleep wake by themselves.
                guarded(add_to_count, &told)
                fm_futex_wake(<uint32_t*>&told.words.syncing)
        self.inner.release()
        return 0


cdef class SyncTurn:
    """One thread's wait. ``with`` returns this: `leads` is true when the lead was taken, which is
    given back at the end; else there is nothing to do any more, or a sync has failed.

    StoreTimeoutError when one sync takes too long. What was appended is in place, and not promised.
    """

    cdef SyncLead lead
    cdef uint64_t end
    cdef uint64_t cold_end
    cdef int64_t timeout_ns
    cdef bint needed
    cdef readonly bint leads

    def __cinit__(
        self, SyncLead lead, uint64_t end, uint64_t cold_end, int64_t timeout_ns, bint needed
    ):
        self.lead, self.end, self.cold_end = lead, end, cold_end
        self.timeout_ns, self.needed = timeout_ns, needed

    cdef bint is_settled(self, const told_t* told) noexcept:
        if self.needed:
            return False
        if told.sync_failed == FAILED:
            return True
        return told.synced >= self.end and told.cold_synced >= self.cold_end

    def __enter__(self):
        cdef told_t told
        cdef uint64_t first = 0
        cdef int64_t until = 0
        if self.needed and self.lead.take():  # by a close, which may have been interrupted before
            self.leads = True
            return self
        while True:
            self.lead.attempt(hear, &told)
            if self.is_settled(&told):
                return self
            if self.lead.take():
                self.leads = True
                return self
            if until == 0 or told.syncing != first:
                first, until = told.syncing, boot_now_ns() + self.timeout_ns
            elif boot_now_ns() > until:
                raise StoreTimeoutError(
                    f"a sync has been under way for {self.timeout_ns / 1e9:.3g} s; is the process "
                    "stopped?",
                    self.lead.path,
                )
            self.sleep(&told)
            PyErr_CheckSignals()

    cdef int sleep(self, const told_t* told) except -1:
        cdef Mapping page = self.lead.page
        cdef uint32_t* flag = <uint32_t*>&told.words.syncing
        page.exports += 1  # a close() by another thread must wait
        with nogil:
            fm_futex_wait(flag, <uint32_t>told.syncing, SLEEP_NS)
        page.give_back()
        return 0

    def __exit__(self, *_):
        if self.leads:
            self.leads = False
            self.lead.give_back()
