"""A log as it lies in mapped files: what one process reads, without a lock."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from fastmem._core.faults cimport peek
from fastmem._core.index cimport SLOTS, buckets_in
from fastmem._core.layout cimport FM_POINTER, FM_TIER_BIT
from fastmem._core.looking cimport (
    ASLEEP, FOUND, begin_look, holds_word, look_up,
)
from fastmem._core.lookup cimport digest_of, mark_touched, note_damaged, take_touched
from fastmem._core.mapping cimport Mapping
from fastmem._core.records cimport body_of, read_up, record_read
from fastmem._core.tiers cimport place_t
from fastmem._core.waking cimport check_pages, wake_pages

cdef enum:
    LOOKS_A_TICK = 1 << 12  # after so many it is asked what costs a system call


cdef inline void begin(LogReader self, bytes key, look_t* look) noexcept:
    begin_look(
        look, &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
        digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)),
    )


cdef inline int attend_first(LogReader self) except -1:
    """`attend`, without a call where there is nothing to attend to."""
    if self.closed or self.state.poisoned or (
        self.state.shared and peek(&self.state.sup.changes) != self.seen
    ):
        self.attend()
    return 0


cdef inline Record sound_record(LogReader self, bytes key, bint mark):
    """The key's record, None when it is absent, expired or, which is noted, damaged."""
    cdef read_t read
    begin(self, key, &read.look)
    read.plain = False
    self.read(&read, True)
    return whole_record(self, key, &read, mark)


cdef inline Record whole_record(LogReader self, bytes key, read_t* read, bint mark):
    cdef Record record
    if read.look.found.word == 0:
        return None
    record = record_read(read, key)
    if record.body is None:
        self.note_corrupt(record.word)
        return None
    if mark:
        record.read_before = mark_touched(&self.state, read.look.digest)
    return record


cdef class LogReader(JoinedFiles):
    """What one process reads in a log, without a lock."""

    def get(self, bytes key not None):
        """Return the key's Record, checksums verified, or None: absent, expired or corrupt.

        What is not in memory is waited for without the GIL; then it is another look.
        """
        return sound_record(self, key, True)

    def peek(self, bytes key not None):
        """As get(), but the key does not count as read."""
        return sound_record(self, key, False)

    def get_resident(self, bytes key not None):
        """As get(), but never waits for the device: False when the record is not in memory."""
        cdef read_t read
        begin(self, key, &read.look)
        read.plain = False
        if self.read(&read, False) == ASLEEP:
            return False
        return whole_record(self, key, &read, True)

    def pointer(self, bytes key not None):
        """Return the body of the key's record if that points to a value file, else None.

        A look of the store's own: the key does not count as read.
        """
        cdef look_t look
        begin(self, key, &look)
        look.brief = True
        if self.find(&look) != FOUND or look.found.head.kind != FM_POINTER:
            return None
        return body_of(&self.state, &look.found)

    def seek(self, bytes key not None):
        """Return the key's word, 0 when absent or expired. Reads the header, not the body."""
        cdef look_t look
        begin(self, key, &look)
        look.bare = True
        self.find(&look)
        return look.found.word

    cdef int find(self, look_t* look) except -1:
        cdef int outcome
        attend_first(self)
        while True:
            outcome = look_up(look, True)
            if outcome <= FOUND or not self.prepare(look, outcome, True):
                return outcome

    cdef int read(self, read_t* read, bint wait) except -1:
        cdef int outcome
        self.state.looks += 1
        if self.state.looks & (LOOKS_A_TICK - 1) == 0:
            check_pages(&self.state)
        attend_first(self)
        while True:
            outcome = read_up(read)
            if outcome <= FOUND or not self.prepare(&read.look, outcome, wait):
                return outcome

    cdef bint prepare(self, look_t* look, int outcome, bint wait) except -1:
        """See to what a look could not go on without. False: it has ended, with nothing found."""
        if outcome == ASLEEP:
            return self.wake(look, wait)
        if look.missing:  # and still led to: somebody has removed the file
            self.note_corrupt(self.state.unmapped)
            self.state.unmapped = 0
            return False
        look.missing = not self.map_missing()
        self.attend()
        return True

    cdef bint wake(self, look_t* look, bint wait) except -1:
        """See to the pages that a look was too wary to touch; False when it may not `wait` for
        them, and would have to. Afterwards everything may have changed.
        """
        cdef const place_t* place = &look.found.place
        cdef Mapping mapping = self.maps.get(
            (1 if place.tier.bit else 0, place.at >> place.tier.shift)
        )
        cdef bint woken = mapping is None or wake_pages(look, mapping, wait)
        self.attend()
        return woken

    cdef bint holds(self, bytes key, uint64_t word) except -1:
        """True while `word` is the current record of the key."""
        self.require_open()
        return holds_word(
            &self.state, digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), word
        )

    cdef bint is_at(self, Record record) except -1:
        """True while the record's bucket has the version that it had before the record was read."""
        return self.is_version(record.home, record.stamp)

    cdef bint is_version(self, uint64_t home, uint64_t stamp) except -1:
        """True while a bucket has the version that `stamp_of` told."""
        self.require_open()
        return stamp == peek(&self.state.index.buckets[home].version)

    cdef void touch(self, bytes key) noexcept:
        """Mark a key of the warm tier as used lately, so that reclaim moves it forward rather than
        out. In the archive a mark would say that it was read there, and is worth promoting.
        """
        cdef look_t look
        begin(self, key, &look)
        look.bare = True
        if look_up(&look, True) == FOUND and not look.found.word & FM_TIER_BIT:
            mark_touched(&self.state, look.digest)
        self.state.unmapped = 0  # what another process has written it may mark itself

    def was_touched(self, bytes key not None):
        """True when the key was read since it was last asked (one bit a hash: may be wrong)."""
        return take_touched(
            &self.state, digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        )

    cdef int note_corrupt(self, uint64_t word) except -1:
        self.places.add(word)
        note_damaged(&self.state, word)  # the next miss tells of it
        return 0

    @property
    def corrupt_places(self):
        """The words that were found to lead to nothing valid, a growing set."""
        while self.state.damaged_count:
            self.places.add(self.state.damaged[self.state.damaged_count - 1])
            self.state.damaged_count -= 1
        return self.places

    # -- counts --------------------------------------------------------------------------------

    @property
    def warm_entries(self):
        return min(self.word_at(&self.state.index.head.warm_entries), self.most_entries())

    @property
    def cold_entries(self):
        return min(self.word_at(&self.state.index.head.cold_entries), self.most_entries())

    cdef uint64_t most_entries(self) noexcept:
        """More than there is room for only a damaged count tells of."""
        return SLOTS * (self.state.index.bucket_room + self.state.index.overflow_room)

    @property
    def buckets(self):
        """(buckets in use, buckets the file holds, overflow buckets in use, held)."""
        cdef uint64_t directory = self.word_at(&self.state.index.head.directory)
        return (
            buckets_in(directory), self.state.index.bucket_room,
            self.word_at(&self.state.index.head.overflow_next), self.state.index.overflow_room,
        )

    @property
    def faults(self):
        """How often a page was missing: the file was cut, or the device failed."""
        return self.state.faults

    @property
    def cold_reads(self):
        """How often pages were waited for, while other threads went on."""
        return self.state.cold_reads

    @property
    def wall_offset_ns(self):
        """The store's wall clock less CLOCK_BOOTTIME: what deadlines are compared by."""
        return self.state.wall_offset_ns

    @wall_offset_ns.setter
    def wall_offset_ns(self, int64_t offset):
        self.state.wall_offset_ns = offset
