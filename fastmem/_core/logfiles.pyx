"""The mapped files that a log stands on."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from fastmem._core.descriptor cimport remember_in_children
from fastmem._core.faults cimport guarded, peek
from fastmem._core.index cimport buckets_in, index_t
from fastmem._core.layout cimport (
    FM_GONE, FM_PAGE, FM_TIER_BIT, fm_bucket, fm_index, fm_store_release, fm_super,
)
from fastmem._core.looking cimport copy_bytes
from fastmem._core.lookup cimport touch_init
from fastmem._core.needs cimport CHORE_GROWTH
from fastmem._core.tiers cimport tier_init, tier_map, tier_unmap

from fastmem.errors import ClosedError, StoreError


cdef void tell_room(void* facts) noexcept nogil:
    cdef const index_t* index = <index_t*>facts
    fm_store_release(&index.head.bucket_room, index.bucket_room)
    fm_store_release(&index.head.overflow_room, index.overflow_room)


cdef class LogFiles:
    """The files of a log, mapped. Errors name `path`."""

    def __cinit__(
        self, Mapping sup not None, Mapping index not None, Mapping overflow not None,
        uint64_t warm_segment_bytes, uint64_t warm_salt,
        uint64_t cold_segment_bytes, uint64_t cold_salt, str path not None,
    ):
        cdef fm_super* page = <fm_super*>sup.base
        self.state.sup = page
        self.state.salt = page.salt
        self.state.writable = sup.writable
        self.state.index.head = <fm_index*>index.base
        self.state.index.buckets = <fm_bucket*>(index.base + FM_PAGE)
        self.state.index.overflow = <fm_bucket*>overflow.base
        tier_init(
            &self.state.tier[0], &page.tail, &page.tail_inverse, &page.head, 0,
            warm_segment_bytes, warm_salt,
        )
        tier_init(
            &self.state.tier[1], &page.cold_tail, &page.cold_tail_inverse, &page.cold_head,
            FM_TIER_BIT, cold_segment_bytes, cold_salt,
        )
        self.state.lease.word = &page.lock
        self.state.lease.waiters = &page.waiters
        self.state.lease.me = 1
        self.sup_map = sup
        self.index_map = index
        self.maps = {"index": index, "overflow": overflow}
        self.places = set()
        self.path = path
        if not touch_init(&self.state):
            raise MemoryError()
        self.own_touched = self.state.touched

    def __dealloc__(self):
        remember_in_children(&self.state.lease.me)
        free(self.own_touched)
        free(self.state.tier[0].segments)
        free(self.state.tier[1].segments)

    # -- the index -----------------------------------------------------------------------------

    def set_room(self, uint64_t buckets, uint64_t overflow):
        """Tell how many buckets and overflow buckets the files hold by now. They never shrink: of
        two calls at once, one in the middle of the other, the one that knows of more is right.
        """
        self.state.index.bucket_room = max(self.state.index.bucket_room, buckets)
        self.state.index.overflow_room = max(self.state.index.overflow_room, overflow)
        self.state.chores &= ~CHORE_GROWTH
        if self.index_map.writable:
            self.attempt(tell_room, &self.state.index)

    def learn_room(self, uint64_t buckets, uint64_t overflow):
        """Take over what other processes have made of the index's files, which hold so many by
        their size. They never shrink. False when they tell of more than that: one of them is cut,
        or the first page damaged.
        """
        cdef index_t* index = &self.state.index
        cdef uint64_t told = peek(&index.head.bucket_room)
        cdef uint64_t spilled = peek(&index.head.overflow_room)
        if told == FM_GONE or spilled == FM_GONE:
            return False
        index.bucket_room = max(index.bucket_room, min(told, buckets))
        index.overflow_room = max(index.overflow_room, min(spilled, overflow))
        self.state.chores &= ~CHORE_GROWTH
        return told <= buckets and spilled <= overflow

    cdef bint has_room(self) except -1:
        """Whether there are as many buckets as the directory tells of."""
        cdef uint64_t directory = self.word_at(&self.state.index.head.directory)
        return buckets_in(directory) <= self.state.index.bucket_room

    def require_room(self):
        """StoreError when the directory tells of more buckets than there are."""
        if not self.has_room() and self.keeper is not None:
            self.keeper.learn_room()
        if not self.has_room():
            text = "the index makes no sense; close the store in all processes, and open it again"
            raise StoreError(text, self.path)

    # -- segments ------------------------------------------------------------------------------

    def add_segment(self, int which, uint64_t number, Mapping mapping not None):
        """Map segment `number` of a tier."""
        cdef tier_t* tier = &self.state.tier[which]
        if tier.count and number < tier.first:
            raise ValueError(f"segment {number} is older than the first, {tier.first}")
        self.maps[which, number] = mapping
        if tier_map(
            tier, self.lowest(tier, number), number, mapping.base, mapping.size,
            mapping.pages_known(),
        ):
            del self.maps[which, number]
            raise MemoryError()

    def note_gone(self, int which, uint64_t number):
        """Note that there is no segment `number`, nor will be."""
        cdef tier_t* tier = &self.state.tier[which]
        if tier.count and number < tier.first:
            return
        if tier_map(tier, self.lowest(tier, number), number, NULL, 0, NULL):
            raise MemoryError()

    cdef uint64_t lowest(self, const tier_t* tier, uint64_t number) noexcept:
        """The oldest segment that may still be asked for, at most `number`. The first that is
        mapped is the oldest there is, unless other processes began some before.
        """
        if not self.state.shared:
            return number
        return min(number, peek(tier.head) >> tier.shift)

    def drop_segment(self, int which, uint64_t number):
        """Unmap a segment that no slot leads to any more. Return its mapping."""
        mapping = self.maps.pop((which, number))
        tier_unmap(&self.state.tier[which], number)
        return mapping

    def retire(self):
        """Let go of the segments that reclaim is done with, whichever process did it. Return the
        tier and the mapping of each.
        """
        cdef tier_t* tier
        cdef uint64_t head
        retired = []
        for place in list(self.maps):
            if isinstance(place, tuple):
                tier = &self.state.tier[<int>place[0]]
                head = peek(tier.head)
                if head == FM_GONE:
                    return retired
                if place[1] < head >> tier.shift and place in self.maps:
                    retired.append((place[0], self.drop_segment(*place)))
        return retired

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
        self.state.touched = self.own_touched
        self.state.lease.processes = NULL
        self.keeper = self.processes = self.procs = None
        maps = list(self.maps.values())
        self.maps = {}
        for mapping in maps:
            mapping.close()

    cdef int require_open(self) except -1:
        if self.closed:
            raise ClosedError(f"the store is closed: {self.path!r}")
        if self.state.poisoned:
            self.raise_poisoned()
        return 0

    cdef int raise_poisoned(self) except -1:
        raise StoreError(
            "a page was missing in the middle of a change; reopen the store, which puts it right",
            self.path,
        )

    cdef uint64_t word_at(self, const uint64_t* origin) except? 1:
        """A word of the index. StoreError where its page is missing."""
        cdef uint64_t word
        self.require_open()
        word = peek(origin)
        if word == FM_GONE and not copy_bytes(
            &self.state, <char*>&word, <const char*>origin, sizeof(word)
        ):
            raise StoreError("a page of the index is missing", self.path)
        return word

    cdef int attempt(self, work_t work, void* facts) except -1:
        """Do what touches a first page. StoreError where that is missing."""
        if guarded(work, facts):
            self.state.faults += 1
            raise StoreError("a first page is missing: a cut file, or a failed device", self.path)
        return 0
