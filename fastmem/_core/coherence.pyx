"""`Coherent`: L1 over a log that other processes change too. See coherence.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.entries cimport is_shared
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport NO_STAMP, cursor_t, first_slot, index_t, next_slot, stamp_of
from fastmem._core.keys cimport encode
from fastmem._core.layout cimport fm_load_acquire
from fastmem._core.leases cimport Lease
from fastmem._core.looking cimport stamp_now
from fastmem._core.lookup cimport digest_of
from fastmem._core.stamps cimport Stamp, Stamps, stamp_holds
from fastmem._core.table cimport CAUSE_REPLACED, Displaced

cdef enum:
    LAST_EPOCH = 0xFFFFFFFF

ctypedef struct standing_t:  # of an entry in the log
    const index_t* table
    uint64_t word
    uint64_t digest
    uint64_t home
    uint64_t seen     # the version that the home had; NO_STAMP: nobody knows
    uint64_t version  # ... and has
    bint stands

cdef uint64_t NOBODY = 0
cdef uint64_t SOMEBODY = 1


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class Coherent(L1Cache):
    """Entries that are copies of what a log holds."""

    def __dealloc__(self):
        free(self.stamps.stamps)

    cdef int follow(self, Log log, int64_t max_stale_ns) except -1:
        maps = (log.sup_map, log.maps["index"], log.maps["overflow"])
        self.pins = [memoryview(mapping) for mapping in maps]
        self.max_stale_ns = max_stale_ns
        self._epoch = 1  # 0: of an entry that was not compared
        self.epoch_began = coarse_now_ns()
        self.stamps.buckets = log.state.index.buckets
        self.shared = &log.state.sup.joined
        self.overhead += sizeof(Stamp)

    def _expect_others(self):
        """From now on others have the log too, whether they have told of themselves or not."""
        if self.pins is not None:
            self.shared = &SOMEBODY

    def _part(self):
        """When it is closed, and empty: the log's maps may go."""
        self.shared = &NOBODY
        self.pins = None

    # ---------------------------------------------------------------- hits

    cdef bint is_fresh(self, uint32_t index) noexcept:
        """Without a bound, or once in each epoch, it compares; epochs last as long as the bound."""
        cdef Stamp* stamp = self.stamps.stamps + index
        cdef int64_t now
        if index >= self.stamps.room:
            return False
        if self.max_stale_ns:
            now = coarse_now_ns()
            if now - self.epoch_began > self.max_stale_ns:
                begin_epoch(self, now)
            elif stamp.epoch == self._epoch:
                return True
            if not stamp_holds(&self.stamps, index):
                return False
            stamp.epoch = self._epoch
            return True
        return stamp_holds(&self.stamps, index)

    cdef bint is_outdated(self, uint32_t index) except -1:
        cdef standing_t facts
        cdef bytes encoded
        facts.table = &self._log.state.index
        facts.word = self.entry_at(index).version
        facts.seen = NO_STAMP
        facts.stands = False
        if index < self.stamps.room and self.stamps.stamps[index].version != NO_STAMP:
            facts.home = self.stamps.stamps[index].home
            facts.seen = self.stamps.stamps[index].version
        else:
            encoded = encode(<object>self.entry_at(index).key)
            facts.digest = digest_of(
                &self._log.state, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded)
            )
        if guarded(compare, &facts):
            self._log.state.faults += 1
            return True
        if facts.stands and facts.version != facts.seen:
            self.note_stamp(index, facts.home, facts.version)
        return not facts.stands

    cdef bint drop_outdated(self, uint32_t index) except -1:
        cdef Displaced out = [0, 0, 0]
        if not self.is_outdated(index):
            return False
        self._invalidations += 1
        self.discard_at(index, CAUSE_REPLACED, &out)
        self.release(&out)
        return True

    # ---------------------------------------------------------------- changes

    cdef void note_stamp(self, uint32_t index, uint64_t home, uint64_t version) noexcept:
        cdef Stamps* s = &self.stamps
        if not is_shared(self):
            version = NO_STAMP
        if index >= s.room and (version == NO_STAMP or not widen(s, self.table.entry_capacity)):
            return
        s.exact = 0 if self.max_stale_ns else s.room
        s.stamps[index] = [version, <uint32_t>home, self._epoch if version != NO_STAMP else 0]

    cdef void note_lease(self, Lease lease) noexcept:
        cdef bytes encoded
        lease.stamp = NO_STAMP
        try:
            encoded = encode(lease.key)
        except MemoryError:
            return  # it will count as void
        lease.stamp = stamp_now(
            &self._log.state,
            digest_of(&self._log.state, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded)),
            &lease.bucket,
        )

    cdef void bind(self, draft_t* draft, object guard) noexcept:
        if guard is None or not is_shared(self):
            return
        if isinstance(guard, Lease):
            draft.stamped = True
            draft.home = (<Lease>guard).bucket
            draft.stamp = (<Lease>guard).stamp
        else:
            draft.conditional = True
            draft.expected = (<tuple>guard)[1]


cdef void compare(void* facts) noexcept nogil:
    """Whether an entry's word, or the version that its bucket had, stands yet."""
    cdef standing_t* entry = <standing_t*>facts
    cdef cursor_t cursor
    cdef uint64_t word = 0
    if entry.seen == NO_STAMP:
        entry.version = stamp_of(entry.table, entry.digest, &entry.home)
    else:
        entry.version = fm_load_acquire(&entry.table.buckets[entry.home].version)
        entry.stands = entry.version == entry.seen
    if entry.stands or entry.version & 1:  # as NO_STAMP is
        return
    first_slot(entry.table, entry.home, &cursor)
    while not entry.stands and next_slot(entry.table, &cursor, &word):
        entry.stands = word == entry.word


cdef bint widen(Stamps* s, uint32_t room) noexcept:
    """False when there is no memory: then every hit of the others looks for its word."""
    cdef Stamp* grown = <Stamp*>realloc(s.stamps, <size_t>room * sizeof(Stamp))
    cdef uint32_t i
    if grown == NULL:
        return False
    for i in range(s.room, room):
        grown[i] = [NO_STAMP, 0, 0]
    s.stamps = grown
    s.room = room
    return True


cdef void begin_epoch(Coherent self, int64_t now) noexcept:
    cdef uint32_t i
    if self._epoch == LAST_EPOCH:
        for i in range(self.stamps.room):
            self.stamps.stamps[i].epoch = 0
        self._epoch = 0
    self._epoch += 1
    self.epoch_began = now
