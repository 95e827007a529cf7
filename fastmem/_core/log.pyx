"""One log of records, one index over it, one short write lock (L2 and L3 alike).

A *word* is what an index slot holds: a 16-bit tag of the key, the tier bit and the record's
location in units of 16 bytes. A location is never reused, so a word names one record for ever
and is the version that L1 and the tiers compare.

No step releases the GIL or runs Python code: each is atomic for the threads of this process, and
by the lock for other processes. Appends wait for nothing, neither for files nor for that lock: they
raise LogNeeds with what they need, having changed nothing, and the engine, which may open files,
provides it and calls again.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from fastmem._core cimport appending, moves, needs, tiers
from fastmem._core.hashing cimport xxh3
from fastmem._core.layout cimport (
    FM_COLD, FM_INLINE_LIMIT, FM_KEY_LIMIT, FM_MAC_BYTES, FM_TOMBSTONE,
)
from fastmem._core.looking cimport UNMAPPED, begin_look, look_t, look_up
from fastmem._core.lookup cimport digest_of
from fastmem._core.shelter cimport change_guarded

from fastmem._core import records

# What the units below this one name, for Python.
Record = records.Record
WARM = tiers.WARM
COLD = tiers.COLD
NEED_SEGMENT = needs.NEED_SEGMENT
NEED_OVERFLOW = needs.NEED_OVERFLOW
NEED_COLD_SEGMENT = needs.NEED_COLD_SEGMENT
NEED_LOCK = needs.NEED_LOCK
NEED_MAPPING = needs.NEED_MAPPING
NEED_REPAIR = needs.NEED_REPAIR
CHORE_BUCKETS = needs.CHORE_BUCKETS
CHORE_OVERFLOW = needs.CHORE_OVERFLOW
CHORE_PACE = needs.CHORE_PACE
CHORE_POPULATE = needs.CHORE_POPULATE
CHORE_PAY = needs.CHORE_PAY

# Made once, so that a delete needs no memory for it.
cdef Draft TOMBSTONE = Draft(b"", 0, 0, 0, FM_TOMBSTONE)


class LogNeeds(Exception):
    """An append needs `what` (NEED_*) before it can be done. Nothing has changed."""

    def __init__(self, what):
        super().__init__(what)
        self.what = what


cdef class Log(LogChores):
    """The log of one store. Built by the engine from mappings that it keeps the files of.

    A store without warm segments (an archive alone) puts into the cold ones, and its warm tail
    only counts versions.
    """

    cdef int take(self, step_t step, draft_t* draft) except -1:
        """Take a step under the write lock. Raise what it could not do when the lock is free.

        StoreError where a page is missing: nothing has changed, unless it says otherwise.
        """
        cdef int outcome
        self.require_open()
        if self.state.freed_count == self.state.freed_room:
            self.widen_freed()
        outcome = change_guarded(self, step, draft)
        if outcome != needs.DONE and outcome != needs.STALE:
            raise LogNeeds(outcome)
        return outcome

    def put(self, bytes key not None, Draft record not None, expected=None, bint moved=False):
        """Append a warm record and point the index at it. True when done.

        False, and nothing has changed, when `expected` is given and is not the key's word any
        more; 0 is that of a key which is absent or expired. A tombstone clears the key's slot.
        `moved`: it is the expected record's value, and copies of that stay what they are.
        O(1): one memcpy, two hashes. Raises LogNeeds. Here as in the other steps: what is done
        needs no memory any more, not even for a number that tells of it.
        """
        cdef draft_t draft
        self.fill(&draft, key, record, expected)
        draft.moved = moved
        return self.take(appending.put_warm, &draft) == needs.DONE

    def put_cold(
        self, bytes key not None, Draft record not None, expected=None, bint moved=False
    ):
        """Append a cold record and point the index at it, as put() does for a warm one.

        It takes the next version, or, `moved`, keeps that of the expected record, whose value it
        is.
        """
        cdef draft_t draft
        self.fill(&draft, key, record, expected)
        draft.head.flags |= FM_COLD
        draft.moved = moved
        return self.take(appending.put_cold, &draft) == needs.DONE

    cdef uint64_t standing(self, bytes key) except? 1:
        """The key's word, as seek() returns it, for a step: it runs no Python code, and raises
        LogNeeds.
        """
        cdef look_t look
        self.require_open()
        begin_look(
            &look, &self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)),
        )
        look.bare = True
        if look_up(&look, False) == UNMAPPED:
            raise LogNeeds(needs.NEED_MAPPING)
        return look.found.word

    def shadow(self, bytes key not None, uint64_t version, uint32_t archived_s):
        """Append a cold tombstone of a version. The index stays as it is.

        It keeps older copies of the key dead at a rebuild, and none newer. Raises LogNeeds.
        """
        cdef draft_t draft
        self.fill_tombstone(&draft, key, FM_COLD, None)
        draft.cold.origin = version
        draft.cold.archived_s = archived_s
        self.take(appending.shadow, &draft)

    cdef int ready_to_erase(self, bytes key) except -1:
        """Raise LogNeeds now rather than in an erase of the key that follows at once."""
        cdef draft_t draft
        self.fill_tombstone(&draft, key, 0, None)
        return self.take(appending.make_ready, &draft)

    cdef int erase(self, bytes key, object expected) except -1:
        """Append a tombstone and clear the key's slot. 1 = deleted, 0 = it was not there, or
        `expected`, unless None, is not its word.
        """
        cdef draft_t draft
        self.fill_tombstone(&draft, key, 0, expected)
        return self.take(appending.erase, &draft) == needs.DONE

    def delete(self, bytes key not None, expected=None):
        """Delete the key. Return True when it was there. Raises LogNeeds.

        False, and nothing has changed, when `expected` is given and is not the key's word.
        """
        cdef draft_t draft
        self.fill_tombstone(&draft, key, 0, expected)
        return self.take(appending.erase, &draft) == needs.DONE

    def delete_cold(self, bytes key not None, uint32_t archived_s, expected=None):
        """As delete(), by a cold tombstone: for a store without warm segments. Raises LogNeeds."""
        cdef draft_t draft
        self.fill_tombstone(&draft, key, FM_COLD, expected)
        draft.cold.archived_s = archived_s
        return self.take(appending.erase_cold, &draft) == needs.DONE

    def remove(self, bytes key not None, uint64_t expected, uint64_t passed=0, list dropped=None):
        """Clear the key's slot without a tombstone, if it still holds `expected`.

        Only for the oldest record of its log: the tier's head moves on to `passed`, the address
        after it, if it is not there yet, and a rebuild leaves out what lies below its head. In the
        same step the key is noted in `dropped`.
        """
        cdef draft_t draft
        self.aim(&draft, key, expected)
        draft.passed = passed
        if dropped is not None:
            dropped.append(key)  # first: it may need memory
        removed = self.take(moves.remove, &draft) == needs.DONE
        if dropped is not None and not removed:
            dropped.pop()
        return removed

    def forward(self, bytes key not None, uint64_t expected):
        """Copy a live warm record to the tail, so that its old segment can go.

        Returns and raises as put().
        """
        cdef draft_t draft
        self.aim(&draft, key, expected)
        return self.take(moves.forward, &draft) == needs.DONE

    def roll(self, int which):
        """Seal a tier's last segment and begin the next. Raises LogNeeds when there is none yet.

        False when nothing was written to the last one so far.
        """
        cdef draft_t draft
        memset(&draft, 0, sizeof(draft))
        return self.take(
            moves.roll_cold if which == tiers.COLD else moves.roll_warm, &draft
        ) == needs.DONE

    def pass_lock(self):
        """Take the write lock once, and give it back. Raises LogNeeds.

        Whatever record a process had written that is dead by now, a slot leads to it then.
        """
        cdef draft_t draft
        self.take(appending.stand_by, &draft)

    # -- drafts --------------------------------------------------------------------------------

    cdef int aim(self, draft_t* draft, bytes key, uint64_t expected) except -1:
        """Begin a draft: of a key, whose word is expected to be that."""
        if PyBytes_GET_SIZE(key) > FM_KEY_LIMIT:
            raise ValueError(f"key of {PyBytes_GET_SIZE(key)} bytes, limit {FM_KEY_LIMIT}")
        self.require_open()
        draft.key = PyBytes_AS_STRING(key)
        draft.head.klen = <uint32_t>PyBytes_GET_SIZE(key)
        draft.digest = digest_of(&self.state, draft.key, draft.head.klen)
        draft.expected = expected
        return 0

    cdef int fill(self, draft_t* draft, bytes key, Draft record, expected) except -1:
        cdef uint64_t length = PyBytes_GET_SIZE(record.body)
        if record.mac_key:
            if length < FM_MAC_BYTES:
                raise ValueError(
                    f"body of {length} bytes with a MAC, the MAC alone is {FM_MAC_BYTES}"
                )
            length -= FM_MAC_BYTES
        if length > FM_INLINE_LIMIT:
            raise ValueError(f"body of {length} bytes, inline limit {FM_INLINE_LIMIT}")
        self.aim(draft, key, 0 if expected is None else expected)
        draft.conditional = expected is not None
        draft.moved = draft.stamped = False
        draft.body = PyBytes_AS_STRING(record.body)
        draft.head.bcheck = xxh3(draft.body, PyBytes_GET_SIZE(record.body))
        draft.head.deadline_ns = record.deadline_ns
        draft.head.vlen = <uint32_t>length
        draft.head.kind = <uint8_t>record.kind
        draft.head.flags = <uint8_t>record.flags
        draft.head.codec = record.codec
        draft.head.dictionary = record.dictionary
        draft.head.mac_key = record.mac_key
        draft.head.written_high = <uint32_t>(record.written_ms >> 32) & 0xFFFF
        draft.head.written_low = <uint32_t>record.written_ms
        draft.cold.raw_len = record.raw_len
        draft.cold.archived_s = record.archived_s
        return 0

    cdef int fill_tombstone(self, draft_t* draft, bytes key, int flags, expected) except -1:
        self.fill(draft, key, TOMBSTONE, expected)
        draft.head.flags = <uint8_t>flags
        return 0
