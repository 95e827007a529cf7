"""`TieredL1`: L1 and the log changed together. What ATOMIC means stands in writeback.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.drafts cimport Draft
from fastmem._core.entries cimport lookup, void_lease
from fastmem._core.guards cimport Guarded, is_kept
from fastmem._core.l1 cimport L1Cache
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
    """L1 over a log. A hit is L1Cache's own; a miss asks ``_load``, which the subclass provides."""

    cdef object on_miss(self, object key):
        return self._load(key)

    def _measure(self, key, value):
        """Return (bytes the entry counts, form of the value). A custom sizer runs here."""
        cdef int form = 0
        cdef int64_t size = size_and_form(value, &form)
        if self.sizer is not None:
            return self.entry_size(key, value), form
        return size_of(key) + size + self.overhead, form

    def _commit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None, guard,
        bint cold, Draft record not None,
    ):
        """ATOMIC. Append the record, then hold the value in L1 as that version.

        True when done; only while `allows` says so of `guard`. Raises LogNeeds, and nothing has
        changed.
        """
        cdef uint64_t word
        cdef uint32_t event, cause = CAUSE_REPLACED
        # Looked up first: a tuple key may be a RecursionError, which must come before any change.
        cdef uint32_t index = self.find(key)
        if not self.allows(guard, index, key, encoded):
            return False
        event = self.take_event()
        old = MISS
        try:
            if event and not is_kept(guard, value):
                old = self.old_value(index, key, encoded, &cause)
            word = self.append_record(encoded, cold, record)
        except BaseException:
            self.drop_event(event)
            raise
        self.end_event(event, key, old, cause)
        _superseded = self.limbo_take(key)
        self.hold(key, value, size_bytes, deadline_ns, 0, word)
        return True

    def _admit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        bytes encoded not None, uint64_t word,
    ):
        """ATOMIC. Hold a loaded value, put at `put_ns`, while `word` is still the key's record.

        True when L1 holds it now.
        """
        if not self._log.holds(encoded, word):
            return False
        return self.hold(key, value, size_bytes, deadline_ns, put_ns, word)

    cdef bint hold(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        uint64_t word,
    ) except -1:
        """Install a clean entry, or make sure that L1 holds no older one. True when installed."""
        cdef Displaced out = [0, 0, 0]
        cdef bint installed = False
        if size_bytes > self.budget:
            self.discard(key, CAUSE_REPLACED, &out)
        else:
            try:
                self.install(key, value, size_bytes, deadline_ns, word, 0, &out)
                if put_ns:
                    self.entry_at(self.find(key)).put_ns = put_ns
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
                self._log.erase(encoded)
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
        cdef bint there
        if value is not MISS and not self.is_current(index, key, encoded, value, word):
            return -1
        event = self.take_event()
        old = MISS
        try:
            if event:
                old = self.old_value(index, key, encoded, &cause)
            there = self._log.erase(encoded) == 1  # or LogNeeds, before any change
        except BaseException:
            self.drop_event(event)
            raise
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

    def _held(self, key):
        """(value, put_ns, deadline_ns, hits, version, dirty) of a live L1 entry; None."""
        cdef uint32_t index = self.find_live(key)
        cdef Entry* entry
        if index == 0:
            return None
        entry = self.entry_at(index)
        return (
            <object>entry.value, entry.put_ns, entry.deadline_ns, entry.meta >> HIT_SHIFT,
            entry.version, (entry.meta & DIRTY) != 0,
        )

    def _l1_keys(self):
        """An iterator of the keys that L1 holds, from the next victim on."""
        return L1Cache.__iter__(self)
