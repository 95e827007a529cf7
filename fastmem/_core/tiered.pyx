"""L1 joined with the log: the steps that must be one step to every other thread.

Each method marked ATOMIC runs no user code between its first look and its last change and never
releases the GIL. References are dropped (which may run ``__del__``) when everything is whole.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.entries cimport is_expired, lookup, void_lease
from fastmem._core.keys cimport encode
from fastmem._core.l1 cimport L1Cache
from fastmem._core.leases cimport Lease
from fastmem._core.log cimport Log
from fastmem._core.sizing cimport size_and_form, size_of
from fastmem._core.table cimport (
    CAUSE_CLEARED, CAUSE_DELETED, CAUSE_EXPIRED, CAUSE_REPLACED, CAUSE_SIZE, DIRTY, HIT_SHIFT, LIVE,
    Displaced, Entry,
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


cdef bint is_kept(object guard, object value):
    """Whether a change gives an entry the very value that it has: only a new deadline."""
    return type(guard) is tuple and (<tuple>guard)[0] is value


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class TieredL1(L1Cache):
    """L1 over a log. A hit is L1Cache's own; a miss asks ``_load``, which the subclass provides.

    In write-back mode an entry may be dirty: no lower tier holds it. A dirty victim waits in
    `limbo`, where reads find it, until ``_spill`` has written it. Every key is in at most one of
    L1 (dirty), limbo and below.
    """

    cdef readonly Log log
    cdef readonly dict limbo           # key -> value of dirty victims
    cdef readonly dict limbo_deadline  # key -> deadline_ns
    cdef readonly uint64_t demoted
    # Times a key went from below or limbo up to L1. Every other way leads down, so a reader that
    # goes through L1, limbo and below in this order and finds nothing has missed nothing if this
    # stayed the same.
    cdef readonly uint64_t raised
    cdef bint sealed                   # no more dirty entries: the memory is closing

    def _join(self, Log log not None):
        """Give the cache its log; once, before first use."""
        self.log = log
        self.limbo = {}
        self.limbo_deadline = {}
        self.strict_keys = True
        self.watched = self.causes_watched(False)

    cdef uint32_t causes_watched(self, bint listening) noexcept:
        # What is replaced or removed in L1 may be a copy of what stays: the steps tell of those.
        return 1 << CAUSE_SIZE | (1 << CAUSE_EXPIRED if listening else 0)

    cdef int require_open(self) except -1:
        if self.closed_:
            raise ClosedError(f"the memory is closed: {self.log.path!r}")
        return 0

    cdef object on_miss(self, object key):
        return self._load(key)

    cdef int on_victims(self, Displaced* out) except -1:
        """Dirty victims go to limbo; clean ones mark their record below as lately used."""
        cdef uint32_t index = out.head
        cdef Entry* entry
        cdef bint dirty = False
        while index:
            entry = self.entry_at(index)
            index = entry.next
            if entry.prev != CAUSE_SIZE:
                continue
            self.demoted += 1
            key = <object>entry.key
            if entry.meta & DIRTY:
                # Neither step makes a container: no collection, so no finalizer, comes between.
                self.limbo_deadline[key] = entry.deadline_ns
                self.limbo[key] = <object>entry.value
                dirty = True
            elif not self.log.closed:
                self.log.touch(encode(key))
        self.post_displaced(out, self.watched & ~<uint32_t>(1 << CAUSE_SIZE))
        try:
            if dirty:
                self._spill()
        finally:
            if self._listening:
                self.tell()
        return 0

    def _void_leases(self):
        """What is being loaded for any key is not stored."""
        if self.leases is not None:
            self.leases.void_all()

    def _tell(self):
        """Tells listeners what the steps have queued."""
        self.tell()

    cdef object old_value(self, uint32_t index, object key, bytes encoded, uint32_t* cause):
        """ATOMIC. What a change of `key` does away with: a value, NOT_LOADED when only the tiers
        below have it, MISSING when nobody does or what L1 has will leave as expired.
        """
        cdef int64_t deadline_ns
        if index:
            if is_expired(self.entry_at(index)):
                return MISS
            return <object>self.entry_at(index).value
        if key in self.limbo:
            deadline_ns = self.limbo_deadline[key]
            if deadline_ns and coarse_now_ns() >= deadline_ns:
                cause[0] = CAUSE_EXPIRED
            return self.limbo[key]
        return BELOW if self.log.seek(encoded) else MISS

    cdef void end_event(self, uint32_t event, object key, object old, uint32_t cause) noexcept:
        """ATOMIC. Queues an event that was taken, unless nothing was done away with."""
        if event == 0 or old is MISS:
            self.drop_event(event)
        else:
            self.post_event(event, key, old, 0, cause)

    def _measure(self, key, value):
        """Return (bytes the entry counts, form of the value). A custom sizer runs here."""
        cdef int form = 0
        cdef int64_t size = size_and_form(value, &form)
        if self.sizer is not None:
            return self.entry_size(key, value), form
        return size_of(key) + size + self.overhead, form

    cdef bint allows(self, object guard, uint32_t index, object key, bytes encoded) except -1:
        """ATOMIC. Whether a change may go on. The guard is None; a lease, which must be held; or
        (value, word, deadline_ns), and then `is_current` must say so of value and word, and, unless
        the deadline is -1, the entry must have that.
        """
        if guard is None:
            return True
        if isinstance(guard, Lease):
            return (<Lease>guard).held
        value, word, deadline_ns = guard
        if not self.is_current(index, key, encoded, value, word):
            return False
        if deadline_ns == -1:
            return True
        if index:
            return self.entry_at(index).deadline_ns == deadline_ns
        return self.limbo_deadline.get(key, deadline_ns) == deadline_ns

    cdef bint is_current(
        self, uint32_t index, object key, bytes encoded, object value, uint64_t word
    ) except -1:
        """ATOMIC. Whether L1 or limbo holds that very object, or, where neither holds the key,
        `word` is its record. With MISSING: whether the key is nowhere.
        """
        cdef Entry* entry
        if index:
            entry = self.entry_at(index)
            if value is MISS:
                return entry.deadline_ns != 0 and coarse_now_ns() >= entry.deadline_ns
            return <object>entry.value is value
        if key in self.limbo:
            if value is MISS:
                return 0 < self.limbo_deadline[key] <= coarse_now_ns()
            return self.limbo[key] is value
        if value is MISS:
            return self.log.seek(encoded) == 0
        return word != 0 and self.log.holds(encoded, word)

    cdef uint64_t append_record(self, bytes encoded, bint cold, record) except? 1:
        """ATOMIC. Return the word. Raises LogNeeds, and nothing has changed."""
        if cold:
            return self.log.put_cold(encoded, *record)
        body, codec, wall_ns, written_ms, kind, flags, mac_key = record
        return self.log.put(encoded, body, codec, wall_ns, written_ms, kind, flags, mac_key)

    def _commit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None, guard,
        bint cold, record,
    ):
        """ATOMIC. Append the record (the arguments of Log.put or Log.put_cold after the key), then
        hold the value in L1 as that version.

        Only while `allows` says so of `guard`, else return 0. Raises LogNeeds, and nothing has
        changed.
        """
        cdef uint64_t word
        cdef uint32_t event, cause = CAUSE_REPLACED
        # Looked up first: a tuple key may be a RecursionError, which must come before any change.
        cdef uint32_t index = self.find(key)
        if not self.allows(guard, index, key, encoded):
            return 0
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
        return word

    def _admit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        bytes encoded not None, uint64_t word,
    ):
        """ATOMIC. Hold a loaded value, put at `put_ns`, while `word` is still the key's record."""
        if not self.log.holds(encoded, word):
            return False
        self.hold(key, value, size_bytes, deadline_ns, put_ns, word)
        return True

    cdef int hold(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, int64_t put_ns,
        uint64_t word,
    ) except -1:
        """Install a clean entry, or make sure that L1 holds no older one when it cannot."""
        cdef Displaced out = [0, 0, 0]
        if size_bytes > self.budget:
            self.discard(key, CAUSE_REPLACED, &out)
        else:
            try:
                self.install(key, value, size_bytes, deadline_ns, word, 0, &out)
                if put_ns:
                    self.entry_at(self.find(key)).put_ns = put_ns
            except MemoryError:
                self.discard(key, CAUSE_REPLACED, &out)
        self.release(&out)
        return 0

    cdef object limbo_take(self, object key):
        """Take a key out of limbo. The caller keeps the value, whose ``__del__`` may run any code,
        until everything is whole.
        """
        if not self.limbo:
            return None
        self.limbo_deadline.pop(key, None)
        return self.limbo.pop(key, None)

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
            raise ClosedError(f"the memory is closing: {self.log.path!r}")
        index = self.find(key)
        if not self.allows(guard, index, key, encoded):
            return 0
        below = self.log.seek(encoded) != 0
        if below:
            self.log.ready_to_erase(encoded)
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
        self.raised += below or key in self.limbo
        _superseded = self.limbo_take(key)
        try:
            if below:
                self.log.erase(encoded)
        finally:
            self.release(&out)
        return 1

    def _write_victim(
        self, key, value, int64_t deadline_ns, bytes encoded not None, bint cold, record
    ):
        """ATOMIC. Append a victim's record if it is still the one in limbo.

        Return the word, 0 when it was superseded. Raises LogNeeds.
        """
        cdef uint64_t word
        if self.limbo.get(key, MISS) is not value or self.limbo_deadline[key] != deadline_ns:
            return 0
        word = self.append_record(encoded, cold, record)
        _written = self.limbo_take(key)
        return word

    def _drop_victim(self, key, value, uint32_t cause):
        """ATOMIC. Give a victim up if it is still the one in limbo. True when it was."""
        cdef uint32_t event = self.take_event()
        if value is MISS or self.limbo.get(key, MISS) is not value:
            self.drop_event(event)
            return False
        self.end_event(event, key, value, cause)
        _dropped = self.limbo_take(key)
        return True

    def _clean(self, key, value, int64_t deadline_ns, bytes encoded not None, bint cold, record):
        """ATOMIC. Append a dirty entry's record and mark it clean, if it still holds `value`.

        Return as `_write_victim` does.
        """
        cdef uint64_t word
        cdef uint32_t index = self.find(key)
        cdef Entry* entry = self.entry_at(index)
        if index == 0 or not entry.meta & DIRTY or <object>entry.value is not value:
            return 0
        if entry.deadline_ns != deadline_ns:
            return 0
        word = self.append_record(encoded, cold, record)
        entry = self.entry_at(index)
        entry.version = word
        entry.meta &= ~<uint32_t>DIRTY
        return word

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
            there = self.log.erase(encoded) == 1  # or LogNeeds, before any change
        except BaseException:
            self.drop_event(event)
            raise
        self.end_event(event, key, old, cause)
        void_lease(self, fragment)
        if index:
            entry = self.entry_at(index)
            there |= entry.meta & DIRTY and not (
                entry.deadline_ns and coarse_now_ns() >= entry.deadline_ns
            )
            self.discard_at(index, CAUSE_EXPIRED if is_expired(entry) else CAUSE_DELETED, &out)
        elif key in self.limbo:
            deadline_ns = self.limbo_deadline[key]
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
        if self.log.seek(encoded) or key in self.limbo:
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

    def _seal(self, bint sealed):
        """From here on a dirty put raises ClosedError (or, unsealed, is taken again)."""
        self.sealed = sealed

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

    def _dirty(self):
        """Return the keys of the live dirty entries, O(entries). ATOMIC but for the list."""
        cdef uint32_t index
        cdef Entry* entry
        cdef list keys = []
        for index in range(1, self.table.entry_high):
            entry = self.entry_at(index)
            if entry.meta & LIVE and entry.meta & DIRTY and not (
                entry.deadline_ns and coarse_now_ns() >= entry.deadline_ns
            ):
                keys.append(<object>entry.key)
        return keys

    def _l1_keys(self):
        """An iterator of the keys that L1 holds, from the next victim on."""
        return L1Cache.__iter__(self)

    def _check(self):
        """L1's own invariants, and that no lower place holds what is dirty or in limbo."""
        L1Cache._check(self)
        assert self.limbo.keys() == self.limbo_deadline.keys(), "limbo without its deadlines"
        for key in self.limbo:
            assert self.find(key) == 0, f"{key!r} is in limbo and in L1"
        for key in [*self.limbo, *self._dirty()]:
            assert self.log.seek(encode(key)) == 0, f"{key!r} is dirty, and has a record below"
