"""One log of records, one index over it, one short write lock (L2 and L3 alike).

A *word* is what an index slot holds: a 16-bit tag of the key, the tier bit and the record's
location in units of 16 bytes. A location is never reused, so a word names one record for ever
and is the version that L1 and the tiers compare.

No method here releases the GIL or runs Python code of the user: each is atomic for the threads
of this process. Appends never wait for files: they raise LogNeeds with what they need, having
changed nothing, and the engine, which may open files, provides it and calls again.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memmove, memset
from fastmem._core.clock cimport coarse_now_ns
from fastmem._core.hashing cimport xxh3, xxh3_seeded
from fastmem._core.index cimport (
    bucket_count, cursor_t, first_slot, home_of, insert_word, next_slot, replace_word, split_some,
    tag_of, wants_growth,
)
from fastmem._core.layout cimport (
    FM_COLD, FM_INLINE_LIMIT, FM_KEY_LIMIT, FM_LOCATION_MASK, FM_MAC_BYTES, FM_PAGE, FM_POINTER,
    FM_RECORD_HEADER, FM_SEAL, FM_SHADOWS_L3, FM_TAG_SHIFT, FM_TIER_BIT, FM_TOMBSTONE, FM_UNIT,
    FM_UNIT_SHIFT, FM_VALUE, fm_bucket, fm_cold, fm_index, fm_load_acquire, fm_record,
    fm_store_release, fm_super, fm_swap_acquire,
)
from fastmem._core.mapping cimport Mapping
from fastmem._core.record cimport (
    body_bytes, body_offset, cold_of, header_valid, key_of, plausible, record_units, void_record,
    write_record,
)

from fastmem.errors import ClosedError

cdef enum:
    TOUCHED_BITS = 1 << 21
    HEADER_UNITS = 4
    SEAL_UNITS = 3


class LogNeeds(Exception):
    """An append needs `what` (NEED_*) before it can be done. Nothing has changed."""

    def __init__(self, what):
        super().__init__(what)
        self.what = what


cdef class Record:
    """A record copied out of the log. `body` is the value and its MAC, or None when not read.

    It holds nothing but bytes and so is no container for the garbage collector: making one
    never runs a finalizer while the log holds pointers into its maps.
    """


cdef class Log:
    """The log of one store. Built by the engine from mappings that it keeps the files of.

    `cold_only` is a store without warm segments (an archive alone): puts and tombstones go to
    the cold segments, and `tail` only counts versions.
    """

    def __cinit__(
        self, Mapping sup not None, Mapping index not None, Mapping overflow not None,
        uint64_t warm_segment_bytes, uint64_t warm_salt,
        uint64_t cold_segment_bytes, uint64_t cold_salt,
    ):
        self.sup = <fm_super*>sup.base
        self.index.head = <fm_index*>index.base
        self.index.buckets = <fm_bucket*>(index.base + FM_PAGE)
        self.index.overflow = <fm_bucket*>overflow.base
        self.sup_map = sup
        self.maps = {"index": index, "overflow": overflow}
        self.freed = []
        self.corrupt_places = set()
        self.touched = <uint8_t*>calloc(TOUCHED_BITS // 8, 1)
        if self.touched == NULL:
            raise MemoryError()
        set_tier(&self.tier[WARM], warm_segment_bytes, warm_salt)
        set_tier(&self.tier[COLD], cold_segment_bytes, cold_salt)

    def __dealloc__(self):
        free(self.touched)
        free(self.tier[WARM].segments)
        free(self.tier[COLD].segments)

    def set_room(self, uint64_t buckets, uint64_t overflow):
        """Tell how many buckets and overflow buckets the files hold by now."""
        self.index.bucket_room = buckets
        self.index.overflow_room = overflow
        self.chores &= ~(CHORE_BUCKETS | CHORE_OVERFLOW)

    def add_segment(self, int which, uint64_t number, Mapping mapping not None):
        """Map segment `number` of a tier."""
        cdef tier_t* tier = &self.tier[which]
        cdef uint64_t room
        cdef segment_t* grown
        if tier.count == 0:
            tier.first = number
        if number < tier.first:
            raise ValueError(f"segment {number} is older than the first, {tier.first}")
        room = number - tier.first + 1
        if room > tier.room:
            grown = <segment_t*>realloc(tier.segments, 2 * room * sizeof(segment_t))
            if grown == NULL:
                raise MemoryError()
            tier.segments = grown
            tier.room = 2 * room
        self.maps[which, number] = mapping
        while tier.count < room:
            tier.segments[tier.count].base = NULL
            tier.segments[tier.count].size = 0
            tier.count += 1
        tier.segments[number - tier.first].base = mapping.base
        tier.segments[number - tier.first].size = min(mapping.size, tier.segment_bytes)

    def drop_segment(self, int which, uint64_t number):
        """Unmap a segment that no slot leads to any more. Return its mapping."""
        cdef tier_t* tier = &self.tier[which]
        cdef uint64_t gone = 0
        mapping = self.maps.pop((which, number))
        tier.segments[number - tier.first].base = NULL
        tier.segments[number - tier.first].size = 0
        while gone < tier.count and tier.segments[gone].base == NULL:
            gone += 1
        tier.first += gone
        tier.count -= gone
        memmove(tier.segments, tier.segments + gone, tier.count * sizeof(segment_t))
        return mapping

    def close(self):
        """Let go of every mapping but the first page's, which is its owner's to close.

        Later calls raise ClosedError; a second close does nothing.
        """
        self.closed = True
        self.tier[WARM].count = 0
        self.tier[COLD].count = 0
        maps = list(self.maps.values())
        self.maps = {}
        for mapping in maps:
            mapping.close()

    cdef int require_open(self) except -1:
        if self.closed:
            raise ClosedError("the store is closed")
        return 0

    # -- reading -----------------------------------------------------------------------------

    cdef bint locate(self, uint64_t word, place_t* place) noexcept:
        """Where a word leads, bounds checked; False when no mapped segment holds it."""
        cdef tier_t* tier = &self.tier[COLD if word & FM_TIER_BIT else WARM]
        cdef uint64_t at = word & FM_LOCATION_MASK
        cdef uint64_t number
        cdef uint64_t offset
        if tier.segment_bytes == 0:
            return False
        number = at >> tier.shift
        if number < tier.first or number - tier.first >= tier.count:
            return False
        offset = (at << FM_UNIT_SHIFT) & (tier.segment_bytes - 1)
        number -= tier.first
        if offset + FM_RECORD_HEADER > tier.segments[number].size:
            return False
        place.record = <const fm_record*>(tier.segments[number].base + offset)
        place.at = at
        place.room = tier.segments[number].size - offset
        return True

    cdef uint64_t digest_of(self, const char* key, uint64_t klen) noexcept:
        return xxh3_seeded(key, klen, self.sup.salt)

    cdef uint64_t find(
        self, const char* key, uint64_t klen, uint64_t digest, cursor_t* cursor, place_t* place
    ) except? 1:
        """The word of the key's record, 0 when there is none; cursor and place lead to it.

        A slot that leads to bytes which do not validate is counted and passed over.
        """
        cdef uint64_t word = 0
        cdef uint64_t tag = tag_of(&self.index, digest)
        cdef tier_t* tier
        first_slot(&self.index, home_of(&self.index, digest), cursor)
        while next_slot(&self.index, cursor, &word):
            if word == 0 or (word & (<uint64_t>0xFFFF << FM_TAG_SHIFT)) != tag:
                continue
            tier = &self.tier[COLD if word & FM_TIER_BIT else WARM]
            if not self.locate(word, place) or not plausible(place.record, place.at, place.room):
                self.note_corrupt(word)
                continue
            if place.record.klen == klen and memcmp(key_of(place.record), key, klen) == 0:
                if header_valid(place.record, place.at, place.room, tier.salt):
                    return word
                self.note_corrupt(word)
            elif not header_valid(place.record, place.at, place.room, tier.salt):
                self.note_corrupt(word)
        return 0

    cdef int note_corrupt(self, uint64_t word) except -1:
        self.corrupt += 1
        self.corrupt_places.add(word)
        return 0

    cdef bint expired(self, const fm_record* record) noexcept:
        cdef int64_t now
        if record.deadline_ns == 0:
            return False
        now = coarse_now_ns() + self.wall_offset_ns
        if record.deadline_ns > now:
            return False
        # What was once seen expired stays so, wherever the clock stands at the next boot.
        if self.sup.latest_wall_ns < now:
            self.sup.latest_wall_ns = now
        return True

    cdef uint64_t version_at(self, uint64_t word) noexcept:
        """The version of a validated record: its address, or its origin when it is cold."""
        cdef place_t place
        if word & FM_TIER_BIT:
            return cold_of(place.record).origin if self.locate(word, &place) else 0
        return word & FM_LOCATION_MASK

    cdef Record make_record(self, uint64_t word, const place_t* place):
        cdef const fm_record* head = place.record
        cdef Record record = Record.__new__(Record)
        record.key = PyBytes_FromStringAndSize(key_of(head), head.klen)
        record.word = word
        record.version = place.at
        record.deadline_ns = head.deadline_ns
        record.written_ms = (<uint64_t>head.written_high << 32) | head.written_low
        record.dictionary = head.dictionary
        record.raw_len = head.vlen
        record.codec = head.codec
        record.mac_key = head.mac_key
        record.kind = head.kind
        record.flags = head.flags
        if head.flags & FM_COLD:
            record.version = cold_of(head).origin
            record.raw_len = cold_of(head).raw_len
            record.archived_s = cold_of(head).archived_s
        record.body = PyBytes_FromStringAndSize(
            <const char*>head + body_offset(head, place.at), body_bytes(head)
        )
        if xxh3(PyBytes_AS_STRING(record.body), PyBytes_GET_SIZE(record.body)) != head.bcheck:
            self.note_corrupt(word)
            return None
        return record

    def get(self, bytes key not None):
        """Return the key's Record, checksums verified, or None: absent, expired or corrupt."""
        cdef cursor_t cursor
        cdef place_t place
        cdef uint64_t digest
        cdef uint64_t word
        cdef uint64_t bit
        cdef Record record
        self.require_open()
        digest = self.digest_of(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        word = self.find(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), digest, &cursor, &place
        )
        if word == 0 or place.record.kind == FM_TOMBSTONE or self.expired(place.record):
            return None
        record = self.make_record(word, &place)
        if record is not None:
            bit = digest & (TOUCHED_BITS - 1)
            record.read_before = self.touched[bit >> 3] & (1 << (bit & 7)) != 0
            if not record.read_before:
                self.touched[bit >> 3] |= 1 << (bit & 7)
        return record

    def seek(self, bytes key not None):
        """Return the key's word, 0 when absent or expired. Reads the header, not the body."""
        cdef cursor_t cursor
        cdef place_t place
        cdef uint64_t word
        self.require_open()
        word = self.find(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            self.digest_of(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), &cursor, &place,
        )
        if word == 0 or place.record.kind == FM_TOMBSTONE or self.expired(place.record):
            return 0
        return word

    cdef bint holds(self, bytes key, uint64_t word) except -1:
        """True while `word` is the current record of the key."""
        cdef cursor_t cursor
        cdef uint64_t seen = 0
        self.require_open()
        first_slot(
            &self.index,
            home_of(
                &self.index, self.digest_of(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
            ),
            &cursor,
        )
        while next_slot(&self.index, &cursor, &seen):
            if seen == word:
                return True
        return False

    cdef void touch(self, bytes key) noexcept:
        """Mark the key as read lately, so that reclaim moves it forward rather than out."""
        cdef uint64_t bit = self.digest_of(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        ) & (TOUCHED_BITS - 1)
        if not self.touched[bit >> 3] & (1 << (bit & 7)):
            self.touched[bit >> 3] |= 1 << (bit & 7)

    def was_touched(self, bytes key not None, bint forget=True):
        """True when the key was read since it was last asked (one bit a hash: may be wrong)."""
        cdef uint64_t bit = self.digest_of(
            PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)
        ) & (TOUCHED_BITS - 1)
        cdef bint found = self.touched[bit >> 3] & (1 << (bit & 7)) != 0
        if forget:
            self.touched[bit >> 3] &= <uint8_t>~(1 << (bit & 7))
        return found

    # -- writing -----------------------------------------------------------------------------

    def put(
        self, bytes key not None, bytes body not None, int codec, int64_t deadline_ns,
        uint64_t written_ms, int kind=FM_VALUE, int flags=0, int mac_key=0, expected=None,
    ):
        """Append a warm record and point the index at it. Return its word.

        0, and nothing has changed, when `expected` is given and is not the key's word any more.
        O(1): one memcpy, two hashes. Raises LogNeeds.
        """
        cdef fm_record head
        fill_head(&head, key, body, codec, deadline_ns, written_ms, kind, flags, mac_key, 0)
        return self.append(
            key, <const unsigned char*>PyBytes_AS_STRING(body), &head,
            0 if expected is None else expected, expected is not None,
        )

    cdef uint64_t append(
        self, bytes key, const unsigned char* body, fm_record* head, uint64_t expected,
        bint conditional
    ) except? 1:
        cdef cursor_t cursor
        cdef place_t place
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t digest
        cdef uint64_t old
        cdef uint64_t word
        cdef bint inserted = True
        cdef char* room
        self.require_open()
        digest = self.digest_of(PyBytes_AS_STRING(key), klen)
        old = self.find(PyBytes_AS_STRING(key), klen, digest, &cursor, &place)
        if conditional and old != expected:
            return 0
        if old and (old & FM_TIER_BIT or place.record.flags & FM_SHADOWS_L3):
            head.flags |= FM_SHADOWS_L3
        room = self.tail_room(WARM, head)
        if old:
            self.note_freed(old, &place)
        self.lock()
        word = tag_of(&self.index, digest) | self.sup.tail
        write_record(
            room, self.sup.tail, self.tier[WARM].salt, head, NULL,
            PyBytes_AS_STRING(key), <const char*>body,
        )
        if old:
            replace_word(&self.index, &cursor, old, word)
        else:
            inserted = insert_word(&self.index, home_of(&self.index, digest), word)
        if inserted:
            self.advance(WARM, record_units(head, self.sup.tail))
        else:
            void_record(<fm_record*>room)
        self.unlock()
        if not inserted:
            raise LogNeeds(NEED_OVERFLOW)
        return word

    def put_cold(
        self, bytes key not None, bytes body not None, int codec, int64_t deadline_ns,
        uint64_t written_ms, int kind, int flags, int mac_key, uint32_t dictionary,
        uint32_t raw_len, uint32_t archived_s, expected=None,
    ):
        """Append a cold record and point the index at it, as put() does for a warm one.

        With `expected` (the key's word, 0 for a key that is absent) the record keeps that word's
        version; without, it takes the next version. A tombstone clears the key's slot. Return the
        word, 1 for a tombstone, 0 when `expected` is not current. Raises LogNeeds.
        """
        cdef fm_record head
        cdef fm_cold cold
        cdef cursor_t cursor
        cdef place_t place
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t digest
        cdef uint64_t old
        cdef uint64_t word = 0
        cdef bint inserted = True
        cdef char* room
        self.require_open()
        fill_head(
            &head, key, body, codec, deadline_ns, written_ms, kind, flags | FM_COLD, mac_key,
            dictionary,
        )
        digest = self.digest_of(PyBytes_AS_STRING(key), klen)
        old = self.find(PyBytes_AS_STRING(key), klen, digest, &cursor, &place)
        if expected is not None and old != <uint64_t>expected:
            return 0
        cold.raw_len = raw_len
        cold.archived_s = archived_s
        cold.origin = self.version_at(old) if expected is not None and old else self.sup.tail
        room = self.tail_room(COLD, &head)
        if old:
            self.note_freed(old, &place)
        self.lock()
        write_record(
            room, self.sup.cold_tail, self.tier[COLD].salt, &head, &cold,
            PyBytes_AS_STRING(key), PyBytes_AS_STRING(body),
        )
        if kind != FM_TOMBSTONE:
            word = tag_of(&self.index, digest) | FM_TIER_BIT | self.sup.cold_tail
        if old:
            replace_word(&self.index, &cursor, old, word)
        elif word:
            inserted = insert_word(&self.index, home_of(&self.index, digest), word)
        if inserted:
            if expected is None:
                fm_store_release(&self.sup.tail, self.sup.tail + 1)
            self.advance(COLD, record_units(&head, self.sup.cold_tail))
        else:
            void_record(<fm_record*>room)
        self.unlock()
        if not inserted:
            raise LogNeeds(NEED_OVERFLOW)
        return word if word else 1

    def shadow(self, bytes key not None, uint64_t version, uint32_t archived_s):
        """Append a cold tombstone of a version. The index stays as it is.

        It keeps older copies of the key dead at a rebuild, and none newer. Raises LogNeeds.
        """
        cdef fm_record head
        cdef fm_cold cold
        cdef char* room
        self.require_open()
        fill_head(&head, key, b"", 0, 0, 0, FM_TOMBSTONE, FM_COLD, 0, 0)
        cold.origin = version
        cold.raw_len = 0
        cold.archived_s = archived_s
        room = self.tail_room(COLD, &head)
        self.lock()
        write_record(
            room, self.sup.cold_tail, self.tier[COLD].salt, &head, &cold,
            PyBytes_AS_STRING(key), b"",
        )
        self.advance(COLD, record_units(&head, self.sup.cold_tail))
        self.unlock()

    cdef int ready_to_erase(self, bytes key) except -1:
        """Raise LogNeeds now rather than in an erase of the key that follows at once."""
        cdef fm_record head
        self.require_open()
        fill_head(&head, key, b"", 0, 0, 0, FM_TOMBSTONE, 0, 0, 0)
        self.tail_room(WARM, &head)
        return 0

    cdef int erase(self, bytes key) except -1:
        """Append a tombstone and clear the key's slot. 1 = deleted, 0 = it was not there."""
        cdef fm_record head
        cdef cursor_t cursor
        cdef place_t place
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t old
        cdef char* room
        self.require_open()
        old = self.find(
            PyBytes_AS_STRING(key), klen,
            self.digest_of(PyBytes_AS_STRING(key), klen), &cursor, &place,
        )
        if old == 0 or self.expired(place.record):
            return 0
        fill_head(&head, key, b"", 0, 0, 0, FM_TOMBSTONE, 0, 0, 0)
        if old & FM_TIER_BIT or place.record.flags & FM_SHADOWS_L3:
            head.flags |= FM_SHADOWS_L3
        room = self.tail_room(WARM, &head)
        self.note_freed(old, &place)
        self.lock()
        write_record(
            room, self.sup.tail, self.tier[WARM].salt, &head, NULL, PyBytes_AS_STRING(key), b""
        )
        replace_word(&self.index, &cursor, old, 0)
        self.advance(WARM, record_units(&head, self.sup.tail))
        self.unlock()
        return 1

    def delete(self, bytes key not None):
        """Delete the key. Return True when it was there. Raises LogNeeds."""
        return self.erase(key) == 1

    def remove(self, bytes key not None, uint64_t expected):
        """Clear the key's slot without a tombstone, if it still holds `expected`.

        Only for a record that nothing older can come back from: the oldest of its log, or one
        whose deadline has passed.
        """
        cdef cursor_t cursor
        cdef uint64_t seen = 0
        self.require_open()
        first_slot(
            &self.index,
            home_of(
                &self.index, self.digest_of(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
            ),
            &cursor,
        )
        while next_slot(&self.index, &cursor, &seen):
            if seen == expected:
                self.lock()
                replace_word(&self.index, &cursor, seen, 0)
                self.unlock()
                return True
        return False

    def forward(self, bytes key not None, uint64_t expected):
        """Copy a live warm record to the tail, so that its old segment can go.

        Return the new word, 0 when `expected` is not current any more. Raises LogNeeds.
        """
        cdef cursor_t cursor
        cdef place_t place
        cdef fm_record head
        cdef uint64_t klen = PyBytes_GET_SIZE(key)
        cdef uint64_t old
        cdef uint64_t word
        cdef char* room
        self.require_open()
        old = self.find(
            PyBytes_AS_STRING(key), klen,
            self.digest_of(PyBytes_AS_STRING(key), klen), &cursor, &place,
        )
        if old != expected or old & FM_TIER_BIT:
            return 0
        head = place.record[0]
        room = self.tail_room(WARM, &head)
        self.lock()
        word = (old & ~FM_LOCATION_MASK) | self.sup.tail
        write_record(
            room, self.sup.tail, self.tier[WARM].salt, &head, NULL, PyBytes_AS_STRING(key),
            <const char*>place.record + body_offset(place.record, place.at),
        )
        replace_word(&self.index, &cursor, old, word)
        self.advance(WARM, record_units(&head, self.sup.tail))
        self.unlock()
        return word

    def roll(self, int which):
        """Seal a tier's last segment and begin the next. Raises LogNeeds when there is none yet.

        False when nothing was written to the last one so far.
        """
        cdef fm_record head
        cdef uint64_t tail
        self.require_open()
        tail = self.sup.cold_tail if which == COLD else self.sup.tail
        if (tail & ((1ULL << self.tier[which].shift) - 1)) <= HEADER_UNITS:
            return False
        memset(&head, 0, sizeof(head))
        # Longer than what is left of the segment, whatever that is.
        head.klen = <uint32_t>self.tier[which].segment_bytes
        self.tail_room(which, &head)
        return True

    cdef char* tail_room(self, int which, const fm_record* head) except NULL:
        """Where the next record of a tier goes; LogNeeds when its segment is missing.

        Rolls to the next segment, sealing the last, when the record does not fit.
        """
        cdef tier_t* tier = &self.tier[which]
        cdef uint64_t* tail = &self.sup.cold_tail if which == COLD else &self.sup.tail
        cdef uint64_t mask = (1ULL << tier.shift) - 1
        cdef uint64_t at = tail[0]
        cdef uint64_t end
        cdef place_t place
        cdef fm_record seal
        if at & mask < HEADER_UNITS:  # versions of the archive's own puts may have moved it there
            at = (at & ~mask) + HEADER_UNITS
        end = (at | mask) + 1
        if at + record_units(head, at) > end:
            if not self.locate_tail(which, end + HEADER_UNITS, &place):
                raise LogNeeds(NEED_COLD_SEGMENT if which == COLD else NEED_SEGMENT)
            if at + SEAL_UNITS <= end and self.locate_tail(which, at, &place):
                memset(&seal, 0, sizeof(seal))
                seal.kind = FM_SEAL
                seal.bcheck = xxh3(NULL, 0)
                if which == COLD:
                    seal.flags = FM_COLD
                if at + record_units(&seal, at) <= end:
                    write_seal(<char*>place.record, at, tier.salt, &seal)
            at = end + HEADER_UNITS
        if not self.locate_tail(which, at, &place):
            raise LogNeeds(NEED_COLD_SEGMENT if which == COLD else NEED_SEGMENT)
        fm_store_release(tail, at)
        return <char*>place.record

    cdef bint locate_tail(self, int which, uint64_t at, place_t* place) noexcept:
        return self.locate(at | (FM_TIER_BIT if which == COLD else 0), place)

    cdef void advance(self, int which, uint64_t units) noexcept:
        """Publish the record just applied: the tail moves past it."""
        cdef uint64_t* tail = &self.sup.cold_tail if which == COLD else &self.sup.tail
        fm_store_release(tail, tail[0] + units)
        if wants_growth(&self.index):
            self.chores |= split_some(&self.index)
        if which == WARM and self.pace_bytes:
            self.appended += units * FM_UNIT
            if self.appended >= self.pace_bytes:
                self.chores |= CHORE_PACE

        if which == WARM and self.sup.tail >= self.populate_mark:
            self.chores |= CHORE_POPULATE

    def take_appended(self):
        """Return the bytes appended since the last call, and clear the pace chore."""
        cdef uint64_t appended = self.appended
        self.appended = 0
        self.chores &= ~CHORE_PACE
        return appended

    cdef int lock(self) except -1:
        """Take the write lock. One process has the store open, so it is free."""
        if not fm_swap_acquire(&self.sup.lock, 0, 1):
            raise RuntimeError(f"write lock held by {fm_load_acquire(&self.sup.lock):#x}")
        return 0

    cdef void unlock(self) noexcept:
        fm_store_release(&self.sup.lock, 0)

    cdef int note_freed(self, uint64_t word, const place_t* place) except -1:
        """Remember that a value file loses its record: the word's 8 bytes and the pointer body.

        Bytes, not a tuple: allocating a container may run the garbage collector, and with it
        finalizers that come back here.
        """
        cdef const fm_record* head = place.record
        if head.kind == FM_POINTER:
            self.freed.append(
                PyBytes_FromStringAndSize(<const char*>&word, 8)
                + PyBytes_FromStringAndSize(
                    <const char*>head + body_offset(head, place.at), head.vlen
                )
            )
        return 0

    def mapping(self, int which, uint64_t number):
        """Return the mapping of a segment, None when it is not mapped."""
        return self.maps.get((which, number))

    # -- counts ------------------------------------------------------------------------------

    @property
    def warm_entries(self):
        self.require_open()
        return self.index.head.warm_entries

    @property
    def cold_entries(self):
        self.require_open()
        return self.index.head.cold_entries

    @property
    def buckets(self):
        """(buckets in use, buckets the file holds, overflow buckets in use, held)."""
        self.require_open()
        return (
            bucket_count(&self.index), self.index.bucket_room,
            self.index.head.overflow_next, self.index.overflow_room,
        )


cdef void set_tier(tier_t* tier, uint64_t segment_bytes, uint64_t salt) noexcept:
    tier.segment_bytes = segment_bytes
    tier.salt = salt
    tier.shift = 0
    while segment_bytes and (<uint64_t>FM_UNIT << tier.shift) < segment_bytes:
        tier.shift += 1


cdef void write_seal(char* place, uint64_t at, uint64_t salt, fm_record* seal) noexcept:
    cdef fm_cold nothing
    memset(&nothing, 0, sizeof(nothing))
    write_record(place, at, salt, seal, &nothing, b"", b"")


cdef int fill_head(
    fm_record* head, bytes key, bytes body, int codec, int64_t deadline_ns, uint64_t written_ms,
    int kind, int flags, int mac_key, uint32_t dictionary,
) except -1:
    cdef uint64_t length = PyBytes_GET_SIZE(body)
    if PyBytes_GET_SIZE(key) > FM_KEY_LIMIT:
        raise ValueError(f"key of {PyBytes_GET_SIZE(key)} bytes, limit {FM_KEY_LIMIT}")
    if mac_key:
        if length < FM_MAC_BYTES:
            raise ValueError(f"body of {length} bytes with a MAC, the MAC alone is {FM_MAC_BYTES}")
        length -= FM_MAC_BYTES
    if length > FM_INLINE_LIMIT:
        raise ValueError(f"body of {length} bytes, inline limit {FM_INLINE_LIMIT}")
    head.bcheck = xxh3(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    head.deadline_ns = deadline_ns
    head.klen = <uint32_t>PyBytes_GET_SIZE(key)
    head.vlen = <uint32_t>length
    head.kind = <uint8_t>kind
    head.flags = <uint8_t>flags
    head.codec = codec
    head.dictionary = dictionary
    head.mac_key = mac_key
    head.written_high = <uint32_t>(written_ms >> 32) & 0xFFFF
    head.written_low = <uint32_t>written_ms
    return 0
