"""L1 joined with the log: the steps that must be one step to every other thread.

Each method marked ATOMIC runs no user code between its first look and its last change and never
releases the GIL. References are dropped (which may run ``__del__``) when everything is whole.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.keys cimport encode
from fastmem._core.l1 cimport L1Cache
from fastmem._core.log cimport Log
from fastmem._core.sizing cimport size_and_form, size_of
from fastmem._core.table cimport (
    CAUSE_DELETED, CAUSE_REPLACED, CAUSE_SIZE, DIRTY, ENTRY_OVERHEAD, HIT_SHIFT, LIVE,
    Displaced, Entry,
)

from fastmem._core.l1 import MISSING

cdef object MISS = MISSING


cdef class TieredL1(L1Cache):
    """L1 over a log. A hit is L1Cache's own; a miss asks ``_load``, which the subclass provides.

    In write-back mode an entry may be dirty: no lower tier holds it. A dirty victim waits in
    `limbo`, where reads find it, until ``_spill`` has written it.
    """

    cdef readonly Log log
    cdef readonly dict limbo           # key -> value of dirty victims
    cdef readonly dict limbo_deadline  # key -> deadline_ns
    cdef readonly uint64_t demoted

    def _join(self, Log log not None):
        """Give the cache its log; once, before first use."""
        self.log = log
        self.limbo = {}
        self.limbo_deadline = {}
        self.strict_keys = True

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
        if dirty:
            self._spill()
        return 0

    def _measure(self, key, value):
        """Return (bytes the entry counts, form of the value). A custom sizer runs here."""
        cdef int form = 0
        cdef int64_t size = size_and_form(value, &form)
        if self.sizer is not None:
            return self.entry_size(key, value), form
        return size_of(key) + size + ENTRY_OVERHEAD, form

    def _commit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None,
        prepared,
    ):
        """ATOMIC. Append the record, then hold the value in L1 as that version.

        Raises LogNeeds, and nothing has changed.
        """
        cdef uint64_t word
        body, codec, wall_ns, written_ms, kind, flags, mac_key = prepared
        word = self.log.put(
            encoded, body, codec, wall_ns, written_ms, kind, flags, mac_key
        )
        self.limbo_drop(key)
        self.hold(key, value, size_bytes, deadline_ns, word)

    def _admit(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None,
        uint64_t word,
    ):
        """ATOMIC. Hold a loaded value in L1 if `word` is still the key's record."""
        if not self.log.holds(encoded, word):
            return False
        self.hold(key, value, size_bytes, deadline_ns, word)
        return True

    cdef int hold(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns, uint64_t word
    ) except -1:
        """Install a clean entry, or make sure that L1 holds no older one when it cannot."""
        cdef Displaced out = [0, 0, 0]
        if size_bytes > self.budget:
            self.discard(key, CAUSE_REPLACED, &out)
        else:
            try:
                self.install(key, value, size_bytes, deadline_ns, word, 0, &out)
            except MemoryError:
                self.discard(key, CAUSE_REPLACED, &out)
        self.release(&out)
        return 0

    cdef int limbo_drop(self, object key) except -1:
        if self.limbo:
            self.limbo.pop(key, None)
            self.limbo_deadline.pop(key, None)
        return 0

    def _put_dirty(
        self, key, value, int64_t size_bytes, int64_t deadline_ns, bytes encoded not None
    ):
        """ATOMIC. Hold a value in L1 only; an older record below is deleted first, so that a
        crash gives a miss and never the older value. Raises LogNeeds, and nothing has changed.
        """
        cdef Displaced out = [0, 0, 0]
        self.log.ready_to_erase(encoded)
        try:
            self.install(key, value, size_bytes, deadline_ns, 0, DIRTY, &out)
            self.limbo_drop(key)
            self.log.erase(encoded)
        finally:
            self.release(&out)

    def _write_victim(self, key, value, bytes encoded not None, prepared):
        """ATOMIC. Append a victim's record if it is still the one in limbo.

        Return the word, 0 when it was superseded. Raises LogNeeds.
        """
        cdef uint64_t word
        if self.limbo.get(key, MISS) is not value:
            return 0
        body, codec, wall_ns, written_ms, kind, flags, mac_key = prepared
        word = self.log.put(encoded, body, codec, wall_ns, written_ms, kind, flags, mac_key)
        self.limbo_drop(key)
        return word

    def _drop_victim(self, key, value):
        """ATOMIC. Give a victim up if it is still the one in limbo. True when it was."""
        if self.limbo.get(key, MISS) is not value:
            return False
        self.limbo_drop(key)
        return True

    def _clean(self, key, value, bytes encoded not None, prepared):
        """ATOMIC. Append a dirty entry's record and mark it clean, if it still holds `value`.

        Return as `_write_victim` does.
        """
        cdef uint64_t word
        cdef uint32_t index = self.find(key)
        if index == 0 or not self.entry_at(index).meta & DIRTY:
            return 0
        if <object>self.entry_at(index).value is not value:
            return 0
        body, codec, wall_ns, written_ms, kind, flags, mac_key = prepared
        word = self.log.put(encoded, body, codec, wall_ns, written_ms, kind, flags, mac_key)
        self.entry_at(index).version = word
        self.entry_at(index).meta &= ~<uint32_t>DIRTY
        return word

    def _erase(self, key, bytes encoded not None, value=MISS, uint64_t word=0):
        """ATOMIC. Delete the key in every tier, tombstone included. Return whether it was there.

        With `value`: only if L1 or limbo holds that very object, or neither holds the key and
        `word` is its record; -1 when something newer took its place. Raises LogNeeds, and
        nothing has changed.
        """
        cdef Displaced out = [0, 0, 0]
        cdef uint32_t index = self.find(key)
        cdef Entry* entry
        cdef bint there
        if value is not MISS:
            if index:
                if <object>self.entry_at(index).value is not value:
                    return -1
            elif key in self.limbo:
                if self.limbo[key] is not value:
                    return -1
            elif not self.log.holds(encoded, word):
                return -1
        self.log.ready_to_erase(encoded)
        there = self.log.erase(encoded) == 1
        if index:
            entry = self.entry_at(index)
            there |= entry.meta & DIRTY and not (
                entry.deadline_ns and coarse_now_ns() >= entry.deadline_ns
            )
            self.discard_at(index, CAUSE_DELETED, &out)
        if key in self.limbo:
            there = True
            self.limbo_drop(key)
        self.release(&out)
        return there

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
