"""`TieredL1`: L1 and the log changed together. What ATOMIC means stands in writeback.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core cimport appending, needs
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.drafts cimport Draft
from fastmem._core.entries cimport is_shared, lookup, void_lease
from fastmem._core.guards cimport is_kept
from fastmem._core.l1 cimport L1Cache
from fastmem._core.layout cimport FM_COLD
from fastmem._core.records cimport Record
from fastmem._core.sizing cimport size_and_form, size_of
from fastmem._core.table cimport (
    CAUSE_CLEARED, CAUSE_DELETED, CAUSE_EXPIRED, CAUSE_REPLACED, CAUSE_SIZE, DIRTY, HIT_SHIFT,
    Displaced, Entry, is_expired,
)

from fastmem._core.events import NOT_LOADED
from fastmem._core.l1 import MISSING
from fastmem.errors import ClosedError

# The constants of the .pxd, for Python too.
globals().update(
    CAUSE_CLEARED=CAUSE_CLEARED, CAUSE_DELETED=CAUSE_DELETED, CAUSE_EXPIRED=CAUSE_EXPIRED,
    CAUSE_SIZE=CAUSE_SIZE,
)

cdef object MISS = MISSING
cdef object BELOW = NOT_LOADED


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class TieredL1(Guarded):
    """L1 over a log. A hit is L1Cache's own."""

    def _measure(self, key, value):
        """Return (bytes the entry counts, form of the value). A custom sizer runs here."""
        cdef int form = 0
        cdef int64_t size_bytes = self.measured(key, value, &form)
        return size_bytes, form

    cdef int64_t measured(self, object key, object value, int* form) except -1:
        cdef int64_t size = size_and_form(value, form)
        if self.sizer is not None:
            return self.entry_size(key, value)
        return size_of(key) + size + self.overhead

    def _commit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None, guard,
        bint cold, Draft record not None,
    ):
        """ATOMIC. Append the record, then hold the value in L1 as that version.

        True when done; only while `allows` says so of `guard`. Raises LogNeeds, and nothing has
        changed.
        """
        cdef draft_t draft
        self._log.fill(&draft, encoded, record, None)
        if cold:
            draft.head.flags |= FM_COLD
        return self.commit(
            key, value, size_bytes, deadline_ns, encoded, guard,
            appending.put_cold if cold else appending.put_warm, &draft,
        )

    cdef bint commit(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, bytes encoded,
        object guard, step_t step, draft_t* draft,
    ) except -1:
        cdef bint done
        cdef uint32_t event, cause = CAUSE_REPLACED
        # Looked up first: a tuple key may be a RecursionError, which must come before any change.
        cdef uint32_t index = self.find(key)
        if guard is not None and not self.allows(guard, index, key, encoded):
            return False
        event = self.take_event()
        old = MISS
        try:
            if event and not is_kept(guard, value):
                if encoded is None:
                    encoded = draft.key[:draft.head.klen]
                old = self.old_value(index, key, encoded, &cause)
            self.bind(draft, guard)
            done = self._log.take(step, draft) == needs.DONE
        except BaseException:
            self.drop_event(event)
            raise
        if not done:
            self.drop_event(event)
            if type(guard) is tuple:
                self.let_go(index)
            return False
        self.end_event(event, key, old, cause)
        _superseded = self.limbo_take(key)
        self.hold(key, value, size_bytes, deadline_ns, 0, draft.word, draft.home, draft.stamp)
        return True

    def _admit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        Record record not None,
    ):
        """ATOMIC. Hold a loaded value, put at `put_ns`, unless its key was changed since the record
        was read. True when L1 holds it now.
        """
        if not self._log.is_at(record):
            return False
        return self.hold(
            key, value, size_bytes, deadline_ns, put_ns, record.word, record.home, record.stamp
        )

    cdef bint hold(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        uint64_t word, uint64_t home, uint64_t stamp,
    ) except -1:
        """Install a clean entry, or make sure that L1 holds no older one. True when installed."""
        cdef Displaced out = [0, 0, 0]
        cdef bint installed = False
        cdef uint32_t index
        if size_bytes > self.budget:
            self.discard(key, CAUSE_REPLACED, &out)
        else:
            try:
                self.install(key, value, size_bytes, deadline_ns, word, 0, &out)
                index = self.find(key)
                self.note_stamp(index, home, stamp)
                if put_ns:
                    self.entry_at(index).put_ns = put_ns
                installed = True
            except MemoryError:
                self.discard(key, CAUSE_REPLACED, &out)
        self.release(&out)
        return installed

    def _put_dirty(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None, guard
    ):
        """ATOMIC. Hold a value in L1 only; an older record below is deleted first, so that a
        crash gives a miss and never the older value.

        `guard` and what is returned as for `_commit`. Raises LogNeeds, and nothing has changed.
        """
        cdef Displaced out = [0, 0, 0]
        cdef bint below
        cdef uint32_t index, event, cause = CAUSE_REPLACED
        if self.sealed:
            raise ClosedError(f"the memory is closing: {self._log.path!r}")
        index = self.find(key)
        if not self.allows(guard, index, key, encoded):
            return False
        below = self._log.standing(encoded) != 0
        if below:
            self._log.ready_to_erase(encoded)
        event = self.take_event()
        old = MISS
        try:
            if event and not is_kept(guard, value):
                old = self.old_value(index, key, encoded, &cause)
            self.install(key, value, size_bytes, deadline_ns, 0, DIRTY, &out)
        except BaseException:
            self.drop_event(event)
            raise
        self.end_event(event, key, old, cause)
        self._raised += below or key in self._limbo
        _superseded = self.limbo_take(key)
        try:
            if below:
                self._log.erase(encoded, None)
        finally:
            self.release(&out)
        return True

    def _erase(
        self, key, bytes encoded not None, value=MISS, uint64_t word=0,
        uint32_t cause=CAUSE_DELETED,
    ):
        """ATOMIC. Delete the key in every tier, tombstone included. Return whether it was there.

        With `value`: only if L1 or limbo holds that very object, or neither holds the key and
        `word` is its record; -1 when something newer took its place. Raises LogNeeds, and
        nothing has changed.
        """
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t event, fragment = 0
        cdef uint32_t index = lookup(self, key, &fragment)
        cdef Entry* entry
        cdef int64_t deadline_ns
        cdef bint there, bound = value is not MISS and is_shared(self)
        if value is not MISS and not self.is_current(index, key, encoded, value, word):
            return -1
        event = self.take_event()
        old = MISS
        try:
            if event:
                old = self.old_value(index, key, encoded, &cause)
            # Or LogNeeds, before any change.
            there = self._log.erase(encoded, word if bound else None) == 1
        except BaseException:
            self.drop_event(event)
            raise
        if bound and not there:
            self.drop_event(event)
            self.let_go(index)
            return -1
        self.end_event(event, key, old, cause)
        void_lease(self, fragment)
        if index:
            entry = self.entry_at(index)
            there |= entry.meta & DIRTY and not is_expired(entry)
            self.discard_at(index, CAUSE_EXPIRED if is_expired(entry) else CAUSE_DELETED, &out)
        elif key in self._limbo:
            deadline_ns = self._limbo_deadline[key]
            there |= deadline_ns == 0 or coarse_now_ns() < deadline_ns
        _erased = self.limbo_take(key)
        self.release(&out)
        return there

    cdef int let_go(self, uint32_t index) except -1:
        """Drop the entry on which a change was to be based that another process came before."""
        cdef Displaced out = [0, 0, 0]
        if index:
            self._invalidations += 1
            self.discard_at(index, CAUSE_REPLACED, &out)
            self.release(&out)
        return 0

    def _forget(self, key, bytes encoded not None):
        """ATOMIC. Drop what L1 holds of a key that the last tier evicted, unless it has come back.

        True when L1 held it.
        """
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find(key), event
        if self._log.standing(encoded) or key in self._limbo:
            return False
        if index and self.entry_at(index).meta & DIRTY:
            return False
        event = self.take_event()
        if index == 0:
            self.end_event(event, key, BELOW, CAUSE_SIZE)
            return False
        if is_expired(self.entry_at(index)):
            self.drop_event(event)
            self.discard_at(index, CAUSE_EXPIRED, &out)
        else:
            self.end_event(event, key, <object>self.entry_at(index).value, CAUSE_SIZE)
            self.discard_at(index, CAUSE_REPLACED, &out)
        self.release(&out)
        return True

    def _abandon(self):
        """In a forked child: closed, and empty, without a destructor of the parent's values run.

        Their references are kept for ever: dropping them would copy every page they are on.
        """
        cdef Displaced kept = [0, 0, 0]
        self.closed_ = True
        self.discard_all(&kept)
        self._part()

    def _held(self, key):
        """(value, put_ns, deadline_ns, hits, word, dirty) of a live L1 entry; None.

        It is what the log has at this moment, whatever the bound of a hit.
        """
        cdef uint32_t index = self.find_live(key)
        cdef Entry* entry
        if index == 0 or is_shared(self) and self.drop_outdated(index):
            return None
        entry = self.entry_at(index)
        return (
            <object>entry.value, entry.put_ns, entry.deadline_ns, entry.meta >> HIT_SHIFT,
            entry.version, (entry.meta & DIRTY) != 0,
        )

    def _l1_keys(self):
        """An iterator of the keys that L1 holds, from the next victim on."""
        return L1Cache.__iter__(self)
