"""`WriteBack`: L1 over a log, with what no lower tier holds yet. See writeback.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core cimport appending, needs
from fastmem._core.appending cimport draft_t
from fastmem._core.coherence cimport Coherent
from fastmem._core.direct cimport aim
from fastmem._core.drafts cimport Draft
from fastmem._core.keys cimport encode
from fastmem._core.l1 cimport L1Cache
from fastmem._core.layout cimport FM_COLD, FM_TIER_BIT
from fastmem._core.log cimport Log
from fastmem._core.looking cimport holds_word
from fastmem._core.lookup cimport mark_touched
from fastmem._core.spans cimport bytes_of, span_of, span_t
from fastmem._core.table cimport (
    CAUSE_EXPIRED, CAUSE_SIZE, DIRTY, LIVE, Displaced, Entry, is_expired,
)

from fastmem._core.l1 import MISSING
from fastmem.errors import ClosedError

cdef object MISS = MISSING


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class WriteBack(Coherent):
    """Dirty entries, and victims on their way down."""

    def _join(self, Log log not None, max_stale_ns):
        """Give the cache its log; once, before first use. `max_stale_ns`: see coherence.pxd; None
        when nobody else has it open.
        """
        self._log = log
        if max_stale_ns is not None:
            self.follow(log, max_stale_ns)
        self._limbo = {}
        self._limbo_deadline = {}
        self.strict_keys = True
        self.watched = self.causes_watched(False)

    cdef uint32_t causes_watched(self, bint listening) noexcept:
        # What is replaced or removed in L1 may be a copy of what stays: the steps tell of those.
        return 1 << CAUSE_SIZE | (1 << CAUSE_EXPIRED if listening else 0)

    cdef int require_open(self) except -1:
        if self.closed_:
            raise ClosedError(f"the memory is closed: {self._log.path!r}")
        return 0

    cdef int on_victims(self, Displaced* out) except -1:
        """Dirty victims go to limbo; clean ones mark their record below as lately used."""
        cdef uint32_t index = out.head
        cdef Entry* entry
        cdef bint dirty = False
        cdef int64_t own
        while index:
            entry = self.entry_at(index)
            index = entry.next
            if entry.prev != CAUSE_SIZE:
                continue
            key = <object>entry.key
            if entry.meta & DIRTY:
                dirty |= self.send_to_limbo(key, <object>entry.value, entry.deadline_ns)
                continue
            self._demoted += 1
            if not self._log.closed:
                self.note_use(key, entry.version)
        own = self.post_displaced(out, self.watched & ~<uint32_t>(1 << CAUSE_SIZE))
        try:
            if dirty:
                self._spill()
        except MemoryError:
            pass  # what it has not written is still in limbo, where reads find it, for the next
        finally:
            if self._listening:
                self.tell(own)
        return 0

    cdef int note_use(self, object key, uint64_t word) except -1:
        """Mark the record of a clean victim as lately used: a hint to reclaim, no more.

        While the index has the word that L1 knew, the record itself need not be looked at.
        """
        cdef span_t span
        try:
            holder = span_of(key, &span)
            aim(self._log, &span)
            if not word & FM_TIER_BIT and holds_word(
                &self._log.state, span.digest, word
            ):
                mark_touched(&self._log.state, span.digest)
            else:
                self._log.touch(bytes_of(holder, &span))
        except MemoryError:
            return 0
        return 1

    cdef bint send_to_limbo(self, object key, object value, int64_t deadline_ns) except -1:
        """Keep a dirty victim until it is written. False when there is no memory for that: it is
        lost, and counted.
        """
        cdef uint32_t event
        try:
            # Neither step makes a container: no collection, so no finalizer, comes between.
            self._limbo_deadline[key] = deadline_ns
            self._limbo[key] = value
        except MemoryError:
            self._limbo_deadline.pop(key, None)
            self._unspilled += 1
            try:
                event = self.take_event()
                if event:
                    self.post_event(event, key, value, 0, CAUSE_SIZE)
            except MemoryError:
                pass  # listeners are not told of it
            return False
        return True

    cdef bint append_record(
        self, bytes encoded, bint cold, Draft record, object guard, draft_t* draft
    ) except -1:
        self._log.fill(draft, encoded, record, None)
        self.bind(draft, guard)
        if cold:
            draft.head.flags |= FM_COLD
            return self._log.take(appending.put_cold, draft) == needs.DONE
        return self._log.take(appending.put_warm, draft) == needs.DONE

    def _write_victim(
        self, key, value, int64_t deadline_ns, bytes encoded not None, bint cold,
        Draft record not None,
    ):
        """ATOMIC. Append a victim's record if it is still the one in limbo.

        True when done, False when it was superseded. Raises LogNeeds.
        """
        cdef draft_t draft
        if self._limbo.get(key, MISS) is not value or self._limbo_deadline[key] != deadline_ns:
            return False
        self.append_record(encoded, cold, record, None, &draft)
        self._demoted += 1
        _written = self.limbo_take(key)
        return True

    cdef object limbo_take(self, object key):
        if not self._limbo:
            return None
        self._limbo_deadline.pop(key, None)
        return self._limbo.pop(key, None)

    def _clean(
        self, key, value, int64_t deadline_ns, bytes encoded not None, bint cold,
        Draft record not None,
    ):
        """ATOMIC. Append a dirty entry's record and mark it clean, if it still holds `value`.

        Return as `_write_victim` does.
        """
        cdef draft_t draft
        cdef uint32_t index = self.find(key)
        cdef Entry* entry = self.entry_at(index)
        if index == 0 or not entry.meta & DIRTY or <object>entry.value is not value:
            return False
        if entry.deadline_ns != deadline_ns:
            return False
        self.append_record(encoded, cold, record, None, &draft)
        entry = self.entry_at(index)
        entry.version = draft.word
        self.note_stamp(index, draft.home, draft.stamp)
        entry.meta &= ~<uint32_t>DIRTY
        return True

    def _dirty(self):
        """Return the keys of the live dirty entries, O(entries). ATOMIC but for the list."""
        cdef uint32_t index
        cdef Entry* entry
        cdef list keys = []
        for index in range(1, self.table.entry_high):
            entry = self.entry_at(index)
            if entry.meta & LIVE and entry.meta & DIRTY and not is_expired(entry):
                keys.append(<object>entry.key)
        return keys

    def _seal(self, bint sealed):
        """From here on a dirty put raises ClosedError (or, unsealed, is taken again)."""
        self.sealed = sealed

    def _check(self):
        """L1's own invariants, and that no lower place holds what is dirty or in limbo."""
        L1Cache._check(self)
        assert self._limbo.keys() == self._limbo_deadline.keys(), "limbo without its deadlines"
        for key in self._limbo:
            assert self.find(key) == 0, f"{key!r} is in limbo and in L1"
        for key in [*self._limbo, *self._dirty()]:
            assert self._log.seek(encode(key)) == 0, f"{key!r} is dirty, and has a record below"
