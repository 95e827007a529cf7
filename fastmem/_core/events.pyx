"""`Announcer`: listeners hear what left a cache, and why, in the order of the changes.

What leaves is chained, in the step that displaces it, to the end of one queue. One thread at a
time, whose turn it is, takes from its front and calls the listeners; whoever finds it at work
leaves the rest to it. So the order is that of the changes, no listener runs inside another, and
none ever runs while the structure is not whole.

A turn is for the events of the call that takes it and AHEAD more. After these it goes on only while
nobody makes further changes: neither the listeners themselves nor another thread, which then takes
the next turn. While more than AHEAD events wait, each change waits for its turn, for at most
PATIENCE_S, as the thread whose turn it is may be waiting for this very one.
"""

import os
from _thread import allocate_lock

from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.table cimport (
    CAUSE_COUNT, Entry, Table, entry_fill, table_give_back, table_release, table_take,
)

cdef extern from "Python.h":
    ctypedef struct PyThreadState
    PyThreadState* PyThreadState_Get() noexcept
    uint64_t PyThreadState_GetID(PyThreadState* state) noexcept  # never 0, never used again

cdef enum:
    AHEAD = 64


class _NotLoaded:
    """The type of NOT_LOADED: the value of an event whose value only lower tiers held."""

    __slots__ = ()

    def __repr__(self):
        return "NOT_LOADED"

    def __reduce__(self):
        return "NOT_LOADED"  # by its name: there is one


NOT_LOADED = _NotLoaded()

cdef tuple CAUSES = ("size", "expired", "replaced", "deleted", "cleared")  # by CAUSE_*
cdef object process_id = os.getpid
cdef double PATIENCE_S = 0.01


cdef int report(object error, object listener) except -1:
    """Shows an exception to ``sys.unraisablehook``, with its listener."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(listener)
    return 0


cdef bint is_among(object registration, tuple listeners):
    for other in listeners or ():
        if other is registration:
            return True
    return False


cdef void chain(Table* t, Displaced* out, uint32_t index) noexcept:
    t.entries[index].next = 0
    if out.head:
        t.entries[out.tail].next = index
    else:
        out.head = index
    out.tail = index


cdef class Announcer(Cache):
    """A cache that tells what leaves it."""

    def __dealloc__(self):
        # Only a forked child has any: its parent's other threads were telling.
        if self.table.entries != NULL:
            table_release(&self.table, &self.untold)

    def add_listener(self, on_evict, /):
        """Has ``on_evict(key, value, cause)`` called for all that leaves; returns `on_evict`.

        The cause is ``"size"`` (evicted to stay within the budget), ``"expired"``, ``"replaced"``,
        ``"deleted"`` or ``"cleared"`` (``clear`` and ``close``). A cache that is forgotten tells
        nothing. Without listeners nothing is spent on them.

        Calls come from the thread whose call made the change, before that call returns, with the
        cache whole and no lock held: a listener may use the cache, add and remove listeners, or
        block. They come one at a time and in the order of the changes: what other threads, and the
        listener itself, change meanwhile is told by that same thread afterwards, and until then
        counts in ``stats()["untold"]``.

        No call tells for ever: after its own events and 64 more it leaves what then still comes, of
        other threads or of listeners that change the cache for every event, to the next call that
        makes a change, or to ``expire``; ``close`` tells everything. While more than 64 events wait
        for another thread, which a slow listener brings about, every change waits up to 10 ms for
        its turn to tell: so at most those wait, and what each thread can change at that pace.

        What a listener raises is counted in ``stats()["errors"]["listener"]`` and goes to
        ``sys.unraisablehook``; the others are called all the same. What is not an ``Exception``,
        such as ``KeyboardInterrupt``, comes out of the call that made the change, which stands,
        when all events are told.

        >>> from fastmem import L1Cache
        >>> cache = L1Cache(1_000_000)
        >>> @cache.add_listener
        ... def on_evict(key, value, cause):
        ...     print(key, value, cause)
        >>> cache["a"] = 1
        >>> cache["a"] = 2
        a 1 replaced
        """
        cdef tuple before, after
        if not callable(on_evict):
            raise TypeError(f"a listener must be callable, not {type(on_evict).__name__}")
        self.require_open()
        while True:
            before = self.listeners
            after = (*(before or ()), (on_evict,))
            if self.listeners is before:  # else a collection ran code that changed it
                break
        self.listeners = after
        self._listening = True
        self.watched = self.causes_watched(True)
        return on_evict

    def remove_listener(self, on_evict, /):
        """Takes back one ``add_listener(on_evict)``: no call to it begins any more.

        ``ValueError`` when it is not a listener.
        """
        cdef tuple before, after
        while True:
            before = self.listeners
            kept = list(before or ())
            del kept[[each for each, in kept].index(on_evict)]
            after = tuple(kept)
            if self.listeners is before:  # else comparing ran code that changed it
                break
        self.listeners = after or None
        self._listening = len(after) > 0
        self.watched = self.causes_watched(self._listening)
        if not self._listening:
            self.tell(0)  # nobody, what still waits: it ends here

    cdef uint32_t causes_watched(self, bint listening) noexcept:
        return (1 << CAUSE_COUNT) - 1 if listening else 0

    cdef int on_victims(self, Displaced* out) except -1:
        return self.tell(self.post_displaced(out, (1 << CAUSE_COUNT) - 1))

    cdef uint32_t take_event(self) except? 4294967295:
        return table_take(&self.table) if self._listening else 0

    cdef void drop_event(self, uint32_t event) noexcept:
        if event:
            table_give_back(&self.table, event)

    cdef void post_event(
        self, uint32_t event, object key, object value, int64_t size_bytes, uint32_t cause
    ) noexcept:
        cdef Entry* entry = self.entry_at(event)
        entry_fill(entry, <PyObject*>key, <PyObject*>value, size_bytes, 0)
        entry.meta = 0
        entry.prev = cause
        self.table.displaced += 1
        chain(&self.table, &self.untold, event)
        self.waiting += 1

    cdef int64_t post_displaced(self, Displaced* out, uint32_t causes) noexcept:
        cdef Displaced rest = [0, 0, 0]
        cdef int64_t before = self.waiting
        cdef uint32_t index = out.head, next
        while index:
            next = self.entry_at(index).next
            if 1 << self.entry_at(index).prev & causes:
                chain(&self.table, &self.untold, index)
                self.waiting += 1
            else:
                chain(&self.table, &rest, index)
                rest.causes |= 1 << self.entry_at(index).prev
            index = next
        out[0] = rest
        return self.waiting - before

    cdef int tell(self, int64_t own) except -1:
        cdef object interrupt
        if self.untold.head == 0 or not self.take_turn():
            return 0
        try:
            interrupt = self.tell_share(max(own, self.waiting - self.left) + AHEAD)
        finally:
            self.left = self.waiting
            self.teller = 0
            self.turn.release()
        if interrupt is not None:
            raise interrupt
        return 0

    cdef bint take_turn(self) except -1:
        """Whether this thread is to tell. Raises what a signal's handler does during a wait."""
        cdef uint64_t thread = PyThreadState_GetID(PyThreadState_Get())
        cdef bint taken
        if self.teller == thread:
            self.wanted = True
            return False
        try:
            process = process_id()
            if self.process != process:  # in a forked child the others are gone, even mid-turn
                self.turn = allocate_lock()
                self.process = process
                self.queuing = 0
            taken = self.turn.acquire(False)
            if not taken and (self.spent or self.waiting > AHEAD):
                self.wanted = True
                self.queuing += 1
                try:
                    taken = self.turn.acquire(True, PATIENCE_S)
                finally:
                    self.queuing -= 1
        except MemoryError:
            return False  # the next change tells it
        if taken:
            self.teller = thread
            self.spent = False
        return taken

    cdef object tell_share(self, int64_t share):
        """Tells so many events, and on while nobody makes more; what `tell_one` returned first."""
        cdef Displaced one = [0, 0, 0]
        cdef Entry* entry
        cdef object interrupt = None
        while self.untold.head:
            if share == 0:
                self.spent = True
                self.wanted = self.queuing > 0
            share -= 1
            if self.spent and self.wanted and not self.closed_:
                break
            one.head = one.tail = self.untold.head
            entry = self.entry_at(one.head)
            self.untold.head = entry.next
            self.waiting -= 1
            entry.next = 0
            key, value = <object>entry.key, <object>entry.value
            raised = self.tell_one(key, value, CAUSES[entry.prev])
            if interrupt is None:
                interrupt = raised
            elif raised is not None:
                report(raised, self)
            key = value = raised = None
            table_release(&self.table, &one)
        return interrupt

    cdef object tell_one(self, object key, object value, str cause):
        """Tells one event; what was raised that is no Exception, or None."""
        cdef tuple listeners = self.listeners
        cdef object interrupt = None
        for registration in listeners or ():
            if self.listeners is not listeners and not is_among(registration, self.listeners):
                continue
            listener, = registration
            try:
                listener(key, value, cause)
            except Exception as error:
                self.listener_errors += 1
                report(error, listener)
            except BaseException as error:
                if interrupt is None:
                    interrupt = error
                else:
                    report(error, listener)
        return interrupt

    cdef dict count_untold(self):
        """The events that wait: how many, and the bytes they keep."""
        cdef uint32_t index = self.untold.head
        cdef int64_t count = 0, size = 0
        while index:
            count += 1
            size += self.entry_at(index).size_bytes
            index = self.entry_at(index).next
        return {"entries": count, "bytes": size}
