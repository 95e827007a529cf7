"""A log as it lies in mapped files: what one process reads, without a lock."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport SLOTS, bucket_count, cursor_t, stamp_of
from fastmem._core.layout cimport (
    FM_COLD, FM_POINTER, FM_TIER_BIT, fm_load_acquire, fm_record,
)
from fastmem._core.lookup cimport (
    digest_of, find_live, find_word, mark_touched, note_damaged, take_touched,
)
from fastmem._core.record cimport body_bytes, body_offset, cold_of, key_of
from fastmem._core.tiers cimport version_of


@cython.no_gc
cdef class Record:
    """A record copied out of the log. `body` is the value and its MAC, or None when not read;
    `window` the value where it lies, if that is what was asked for (viewing.pyx).

    It holds nothing but bytes and so is no container for the garbage collector: making one
    never runs a finalizer while the log holds pointers into its maps.
    """


cdef Record read_record(uint64_t word, const place_t* place, bint with_body):
    """Copy a sound record. `body` is None without `with_body`, and when its checksum is wrong."""
    cdef const fm_record* head = place.record
    cdef Record record = Record.__new__(Record)
    record.key = PyBytes_FromStringAndSize(key_of(head), head.klen)
    record.word = word
    record.version = version_of(place)
    record.deadline_ns = head.deadline_ns
    record.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
    record.dictionary = head.dictionary
    record.raw_len = head.vlen
    record.codec = head.codec
    record.mac_key = head.mac_key
    record.kind = head.kind
    record.flags = head.flags
    if head.flags & FM_COLD:
        record.raw_len = cold_of(head).raw_len
        record.archived_s = cold_of(head).archived_s
    if with_body:
        record.body = copy_body(place)
    return record


cdef bytes copy_body(const place_t* place):
    """The body of a sound record, None when its checksum is wrong: that of the copy."""
    cdef const fm_record* head = place.record
    body = PyBytes_FromStringAndSize(
        <const char*>head + body_offset(head, place.at), body_bytes(head)
    )
    if xxh3(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body)) != head.bcheck:
        return None
    return body


cdef class LogReader(LogFiles):
    """What one process reads in a log, without a lock."""

    def get(self, bytes key not None):
        """Return the key's Record, checksums verified, or None: absent, expired or corrupt."""
        cdef uint64_t digest = digest_of(
            &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        )
        cdef Record record = self.sound_record(key, digest)
        if record is None:
            return None
        record.read_before = mark_touched(&self.state, digest)
        return record

    def pointer(self, bytes key not None):
        """Return the body of the key's record if that points to a value file, else None.

        A look of the store's own: the key does not count as read.
        """
        cdef place_t place
        cdef uint64_t word
        word = self.live_word(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), &place,
        )
        if word == 0 or place.record.kind != FM_POINTER:
            return None
        return read_record(word, &place, True).body

    def seek(self, bytes key not None):
        """Return the key's word, 0 when absent or expired. Reads the header, not the body."""
        cdef place_t place
        return self.live_word(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), &place,
        )

    def peek(self, bytes key not None):
        """As get(), but the key does not count as read."""
        return self.sound_record(
            key, digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        )

    cdef uint64_t live_word(
        self, const char* key, uint64_t klen, uint64_t digest, place_t* place
    ) except? 1:
        """As `find_live`, having mapped what lies on the way."""
        cdef uint64_t word
        cdef bint missing = False
        while True:
            self.attend()
            word = find_live(&self.state, key, klen, digest, place)
            if word or not self.state.unmapped:
                return word
            if missing:  # and still led to: somebody has removed the file
                self.note_corrupt(self.state.unmapped)
                self.state.unmapped = 0
                return 0
            missing = not self.map_missing()

    cdef Record sound_record(self, bytes key, uint64_t digest):
        """The key's record, None when it is absent, expired or, which is noted, damaged."""
        cdef place_t place
        cdef uint64_t word, stamp, home = 0
        cdef Record record
        self.attend()
        stamp = stamp_of(&self.state.index, digest, &home)  # before the slot
        word = self.live_word(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), digest, &place
        )
        if word == 0:
            return None
        record = read_record(word, &place, True)
        if record.body is None:
            self.note_corrupt(word)
            return None
        record.home = home
        record.stamp = stamp
        return record

    cdef bint holds(self, bytes key, uint64_t word) except -1:
        """True while `word` is the current record of the key."""
        cdef cursor_t cursor
        self.require_open()
        return find_word(
            &self.state,
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), word, &cursor,
        )

    cdef bint is_at(self, Record record) except -1:
        """True while the record's bucket has the version that it had before the record was read."""
        return self.is_version(record.home, record.stamp)

    cdef bint is_version(self, uint64_t home, uint64_t stamp) except -1:
        """True while a bucket has the version that `stamp_of` told."""
        self.require_open()
        return stamp == fm_load_acquire(&self.state.index.buckets[home].version)

    cdef void touch(self, bytes key) noexcept:
        """Mark a key of the warm tier as used lately, so that reclaim moves it forward rather than
        out. In the archive a mark would say that it was read there, and is worth promoting.
        """
        cdef place_t place
        cdef const char* name = PyBytes_AS_STRING(key)
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t digest = digest_of(&self.state, name, klen)
        cdef uint64_t word = find_live(&self.state, name, klen, digest, &place)
        self.state.unmapped = 0  # what another process has written it may mark itself
        if word and not word & FM_TIER_BIT:
            mark_touched(&self.state, digest)

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
        self.require_open()
        return min(self.state.index.head.warm_entries, self.most_entries())

    @property
    def cold_entries(self):
        self.require_open()
        return min(self.state.index.head.cold_entries, self.most_entries())

    cdef uint64_t most_entries(self) noexcept:
        """More than there is room for only a damaged count tells of."""
        return SLOTS * (self.state.index.bucket_room + self.state.index.overflow_room)

    @property
    def buckets(self):
        """(buckets in use, buckets the file holds, overflow buckets in use, held)."""
        self.require_open()
        return (
            bucket_count(&self.state.index), self.state.index.bucket_room,
            self.state.index.head.overflow_next, self.state.index.overflow_room,
        )

    @property
    def wall_offset_ns(self):
        """The store's wall clock less CLOCK_BOOTTIME: what deadlines are compared by."""
        return self.state.wall_offset_ns

    @wall_offset_ns.setter
    def wall_offset_ns(self, int64_t offset):
        self.state.wall_offset_ns = offset
