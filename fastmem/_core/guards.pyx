"""`Guarded`: what a change looks at before it is made. See guards.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.entries cimport is_shared
from fastmem._core.leases cimport Lease
from fastmem._core.table cimport CAUSE_EXPIRED, Entry, is_expired

from fastmem._core.events import NOT_LOADED
from fastmem._core.l1 import MISSING

cdef object MISS = MISSING
cdef object BELOW = NOT_LOADED


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class Guarded(WriteBack):
    """Events of the hierarchy, and the conditions on which a change is made."""

    def _void_leases(self):
        """What is being loaded for any key is not stored."""
        if self.leases is not None:
            self.leases.void_all()

    def _tell(self):
        """Tells listeners what the steps have queued."""
        self.tell(0)

    cdef object old_value(self, uint32_t index, object key, bytes encoded, uint32_t* cause):
        cdef int64_t deadline_ns
        if index:
            if is_expired(self.entry_at(index)):
                return MISS
            if is_shared(self) and self.is_outdated(index):
                return BELOW if self._log.standing(encoded) else MISS
            return <object>self.entry_at(index).value
        if key in self._limbo:
            deadline_ns = self._limbo_deadline[key]
            if deadline_ns and coarse_now_ns() >= deadline_ns:
                cause[0] = CAUSE_EXPIRED
            return self._limbo[key]
        return BELOW if self._log.standing(encoded) else MISS

    cdef void end_event(self, uint32_t event, object key, object old, uint32_t cause) noexcept:
        if event == 0 or old is MISS:
            self.drop_event(event)
        else:
            self.post_event(event, key, old, 0, cause)

    cdef bint allows(self, object guard, uint32_t index, object key, bytes encoded) except -1:
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
        return self._limbo_deadline.get(key, deadline_ns) == deadline_ns

    cdef bint is_current(
        self, uint32_t index, object key, bytes encoded, object value, uint64_t word
    ) except -1:
        cdef Entry* entry
        if index:
            entry = self.entry_at(index)
            if value is MISS:
                return is_expired(entry)
            return <object>entry.value is value
        if key in self._limbo:
            if value is MISS:
                return 0 < self._limbo_deadline[key] <= coarse_now_ns()
            return self._limbo[key] is value
        if value is MISS:
            return self._log.standing(encoded) == word
        return word != 0 and self._log.holds(encoded, word)

    def _drop_victim(self, key, value, uint32_t cause):
        """ATOMIC. Give a victim up if it is still the one in limbo. True when it was."""
        cdef uint32_t event = self.take_event()
        if value is MISS or self._limbo.get(key, MISS) is not value:
            self.drop_event(event)
            return False
        self.end_event(event, key, value, cause)
        _dropped = self.limbo_take(key)
        return True
