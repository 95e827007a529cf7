"""A log as it lies in mapped files: what one process reads, without a lock."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport bucket_count, cursor_t
from fastmem._core.layout cimport (
    FM_COLD, FM_PAGE, FM_POINTER, FM_TIER_BIT, fm_bucket, fm_index, fm_record, fm_super,
)
from fastmem._core.lookup cimport (
    digest_of, find_live, find_word, mark_touched, take_touched, touch_init,
)
from fastmem._core.needs cimport CHORE_GROWTH
from fastmem._core.record cimport body_bytes, body_offset, cold_of, key_of
from fastmem._core.tiers cimport tier_init, tier_map, tier_t, tier_unmap, version_of

from fastmem.errors import ClosedError


cdef class Record:
    """A record copied out of the log. `body` is the value and its MAC, or None when not read.

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
        record.body = PyBytes_FromStringAndSize(
            <const char*>head + body_offset(head, place.at), body_bytes(head)
        )
        if xxh3(PyBytes_AS_STRING(record.body), PyBytes_GET_SIZE(record.body)) != head.bcheck:
            record.body = None
    return record


cdef class LogReader:
    """The files of a log, mapped, and the reading of them. Errors name `path`."""

    def __cinit__(
        self, Mapping sup not None, Mapping index not None, Mapping overflow not None,
        uint64_t warm_segment_bytes, uint64_t warm_salt,
        uint64_t cold_segment_bytes, uint64_t cold_salt, str path not None,
    ):
        cdef fm_super* page = <fm_super*>sup.base
        self.state.sup = page
        self.state.salt = page.salt
        self.state.index.head = <fm_index*>index.base
        self.state.index.buckets = <fm_bucket*>(index.base + FM_PAGE)
        self.state.index.overflow = <fm_bucket*>overflow.base
        tier_init(&self.state.tier[0], &page.tail, 0, warm_segment_bytes, warm_salt)
        tier_init(
            &self.state.tier[1], &page.cold_tail, FM_TIER_BIT, cold_segment_bytes, cold_salt
        )
        self.sup_map = sup
        self.maps = {"index": index, "overflow": overflow}
        self.places = set()
        self.path = path
        if not touch_init(&self.state):
            raise MemoryError()

    def __dealloc__(self):
        free(self.state.touched)
        free(self.state.tier[0].segments)
        free(self.state.tier[1].segments)

    # -- the files it stands on ----------------------------------------------------------------

    def set_room(self, uint64_t buckets, uint64_t overflow):
        """Tell how many buckets and overflow buckets the files hold by now. They never shrink: of
        two calls at once, one in the middle of the other, the one that knows of more is right.
        """
        self.state.index.bucket_room = max(self.state.index.bucket_room, buckets)
        self.state.index.overflow_room = max(self.state.index.overflow_room, overflow)
        self.state.chores &= ~CHORE_GROWTH

    def add_segment(self, int which, uint64_t number, Mapping mapping not None):
        """Map segment `number` of a tier."""
        cdef tier_t* tier = &self.state.tier[which]
        if tier.count and number < tier.first:
            raise ValueError(f"segment {number} is older than the first, {tier.first}")
        self.maps[which, number] = mapping
        if tier_map(tier, number, mapping.base, mapping.size):
            del self.maps[which, number]
            raise MemoryError()

    def drop_segment(self, int which, uint64_t number):
        """Unmap a segment that no slot leads to any more. Return its mapping."""
        mapping = self.maps.pop((which, number))
        tier_unmap(&self.state.tier[which], number)
        return mapping

    def mapping(self, int which, uint64_t number):
        """Return the mapping of a segment, None when it is not mapped."""
        return self.maps.get((which, number))

    def close(self):
        """Let go of every mapping but the first page's, which is its owner's to close.

        Later calls raise ClosedError; a second close does nothing.
        """
        self.closed = True
        self.state.tier[0].count = 0
        self.state.tier[1].count = 0
        maps = list(self.maps.values())
        self.maps = {}
        for mapping in maps:
            mapping.close()

    cdef int require_open(self) except -1:
        if self.closed:
            raise ClosedError(f"the store is closed: {self.path!r}")
        return 0

    # -- reading -------------------------------------------------------------------------------

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
        self.require_open()
        word = find_live(
            &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), &place,
        )
        if word == 0 or place.record.kind != FM_POINTER:
            return None
        return read_record(word, &place, True).body

    def seek(self, bytes key not None):
        """Return the key's word, 0 when absent or expired. Reads the header, not the body."""
        cdef place_t place
        self.require_open()
        return find_live(
            &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), &place,
        )

    def peek(self, bytes key not None):
        """As get(), but the key does not count as read."""
        return self.sound_record(
            key, digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        )

    cdef Record sound_record(self, bytes key, uint64_t digest):
        """The key's record, None when it is absent, expired or, which is noted, damaged."""
        cdef place_t place
        cdef uint64_t word
        cdef Record record
        self.require_open()
        word = find_live(
            &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), digest, &place
        )
        if word == 0:
            return None
        record = read_record(word, &place, True)
        if record.body is None:
            self.note_corrupt(word)
            return None
        return record

    cdef bint holds(self, bytes key, uint64_t word) except -1:
        """True while `word` is the current record of the key."""
        cdef cursor_t cursor
        self.require_open()
        return find_word(
            &self.state,
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), word, &cursor,
        )

    cdef void touch(self, bytes key) noexcept:
        """Mark a key of the warm tier as used lately, so that reclaim moves it forward rather than
        out. In the archive a mark would say that it was read there, and is worth promoting.
        """
        cdef place_t place
        cdef const char* name = PyBytes_AS_STRING(key)
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t digest = digest_of(&self.state, name, klen)
        cdef uint64_t word = find_live(&self.state, name, klen, digest, &place)
        if word and not word & FM_TIER_BIT:
            mark_touched(&self.state, digest)

    def was_touched(self, bytes key not None):
        """True when the key was read since it was last asked (one bit a hash: may be wrong)."""
        return take_touched(
            &self.state, digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        )

    cdef int note_corrupt(self, uint64_t word) except -1:
        self.places.add(word)
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
        return self.state.index.head.warm_entries

    @property
    def cold_entries(self):
        self.require_open()
        return self.state.index.head.cold_entries

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
