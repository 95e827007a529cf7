"""The mapped files that a log stands on, and what other processes do to them meanwhile."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from fastmem._core.descriptor cimport forget_in_children, remember_in_children
from fastmem._core.layout cimport (
    FM_LOCATION_MASK, FM_PAGE, FM_TIER_BIT, fm_add, fm_bucket, fm_index, fm_load_acquire,
    fm_load_relaxed, fm_processes, fm_store_release, fm_super,
)
from fastmem._core.index cimport bucket_count, index_t
from fastmem._core.lookup cimport BEYOND, touch_init
from fastmem._core.needs cimport CHORE_GROWTH
from fastmem._core.tiers cimport (
    is_unmapped, locate, move_tail, tail_agrees, tail_likely, tier_init, tier_map, tier_t,
    tier_unmap,
)

from fastmem.errors import ClosedError, StoreError


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
            fm_store_release(&self.state.index.head.bucket_room, self.state.index.bucket_room)
            fm_store_release(&self.state.index.head.overflow_room, self.state.index.overflow_room)

    def learn_room(self, uint64_t buckets, uint64_t overflow):
        """Take over what other processes have made of the index's files, which hold so many by
        their size. They never shrink. False when they tell of more than that: one of them is cut,
        or the first page damaged.
        """
        cdef index_t* index = &self.state.index
        cdef uint64_t told = fm_load_acquire(&index.head.bucket_room)
        cdef uint64_t spilled = fm_load_acquire(&index.head.overflow_room)
        index.bucket_room = max(index.bucket_room, min(told, buckets))
        index.overflow_room = max(index.overflow_room, min(spilled, overflow))
        self.state.chores &= ~CHORE_GROWTH
        return told <= buckets and spilled <= overflow

    def require_room(self):
        """StoreError when the directory tells of more buckets than there are."""
        cdef const index_t* index = &self.state.index
        if bucket_count(index) > index.bucket_room and self.keeper is not None:
            self.keeper.learn_room()
        self.require_open()
        if bucket_count(index) > index.bucket_room:
            text = "the index makes no sense; close the store in all processes, and open it again"
            raise StoreError(text, self.path)

    # -- segments ------------------------------------------------------------------------------

    def add_segment(self, int which, uint64_t number, Mapping mapping not None):
        """Map segment `number` of a tier."""
        cdef tier_t* tier = &self.state.tier[which]
        if tier.count and number < tier.first:
            raise ValueError(f"segment {number} is older than the first, {tier.first}")
        self.maps[which, number] = mapping
        if tier_map(tier, self.lowest(tier, number), number, mapping.base, mapping.size):
            del self.maps[which, number]
            raise MemoryError()

    def note_gone(self, int which, uint64_t number):
        """Note that there is no segment `number`, nor will be."""
        cdef tier_t* tier = &self.state.tier[which]
        if tier.count and number < tier.first:
            return
        if tier_map(tier, self.lowest(tier, number), number, NULL, 0):
            raise MemoryError()

    cdef uint64_t lowest(self, const tier_t* tier, uint64_t number) noexcept:
        """The oldest segment that may still be asked for, at most `number`. The first that is
        mapped is the oldest there is, unless other processes began some before.
        """
        if not self.state.shared:
            return number
        return min(number, fm_load_acquire(tier.head) >> tier.shift)

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
        retired = []
        for place in list(self.maps):
            if isinstance(place, tuple):
                tier = &self.state.tier[<int>place[0]]
                if place[1] < fm_load_acquire(tier.head) >> tier.shift and place in self.maps:
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
        return 0

    # -- other processes -----------------------------------------------------------------------

    def share(self, keeper, uint64_t seen):
        """From here on other processes may begin and drop segments, and grow the index; what they
        did until `changes` was `seen` is known.

        The log asks `keeper`, who has the files, to ``catch_up()`` when they have, and to
        ``map_segment(tier, number)`` when it meets one that it does not know. For buckets it asks
        to ``learn_room()``.
        """
        self.seen = seen
        self.keeper = keeper
        self.state.shared = True

    def join(self, Mapping processes not None, Descriptor procs not None, uint64_t slot):
        """Become one of several writers: the one in that slot of `procs`, mapped as `processes`."""
        cdef fm_processes* page = <fm_processes*>processes.base
        remember_in_children(&self.state.lease.me)
        forget_in_children(&self.state.lease.me)
        self.processes = processes
        self.procs = procs
        self.state.lease.fd = procs.fd
        self.state.lease.me = (
            slot << 48 | fm_load_acquire(&page.process[slot].incarnation) & ((1ULL << 48) - 1)
        )
        self.state.lease.processes = page
        self.state.touched = page.touched

    def withdraw(self):
        """In a forked child that could not join after all: it has no name for the lock again."""
        self.state.lease.me = 0

    @property
    def waits(self):
        """How often this process has waited for the write lock."""
        return self.state.lease.waits

    @property
    def steals(self):
        """How often it has taken the lock from a process that died with it."""
        return self.state.lease.steals

    cdef int attend(self) except -1:
        """As `require_open`, and notice what other processes have done to the files. It may run
        Python code.
        """
        self.require_open()
        if self.state.shared and fm_load_relaxed(&self.state.sup.changes) != self.seen:
            self.seen = fm_load_acquire(&self.state.sup.changes)  # first: what comes later is news
            self.keeper.catch_up()
            self.require_open()
        return 0

    @property
    def shared(self):
        """True once other processes are reckoned with."""
        return self.state.shared

    @property
    def orphaned(self):
        """True in a forked child, until it joins."""
        return self.state.lease.me == 0

    def vouch_for_tails(self):
        """From here on a tail that was not moved by a step is damaged."""
        move_tail(&self.state.tier[0], self.state.tier[0].tail[0])
        move_tail(&self.state.tier[1], self.state.tier[1].tail[0])

    @property
    def tails_agree(self):
        """False when a tail is not what a step made it. Such a log takes no more records."""
        return tail_agrees(&self.state.tier[0]) and tail_agrees(&self.state.tier[1])

    @property
    def tails_likely(self):
        """As `tails_agree`, of one that may have died moving one; or where none has moved."""
        cdef const tier_t* tier = self.state.tier
        return (tier[0].inverse[0] == 0 or tail_likely(&tier[0])) and (
            tier[1].inverse[0] == 0 or tail_likely(&tier[1])
        )

    def note_change(self):
        """Tell the other processes that a segment has come or gone, or that the index has grown."""
        self.require_open()
        if fm_add(&self.state.sup.changes, 1) == self.seen:  # else there is other news
            self.seen += 1

    def note_value_change(self):
        """Tell them that a value file has come or gone. Return how many had before."""
        self.require_open()
        return fm_add(&self.state.sup.value_changes, 1)

    @property
    def wanted(self):
        """(tier, number) of the segment that `map_missing` would map."""
        cdef uint64_t word = self.state.unmapped
        cdef int which = 1 if word & FM_TIER_BIT else 0
        return which, (word & FM_LOCATION_MASK) >> self.state.tier[which].shift

    def map_missing(self):
        """Map the segment that a step could not go on without: what NEED_MAPPING asks for. False
        when it is not there and should be; True too when it has gone, for then the step finds
        another way, or the word that led there damaged.
        """
        cdef uint64_t word = self.state.unmapped
        cdef int which = 1 if word & FM_TIER_BIT else 0
        self.state.unmapped = 0
        self.require_open()
        if word == BEYOND:
            if self.keeper is not None:
                self.keeper.learn_room()
                self.require_open()
            return bucket_count(&self.state.index) <= self.state.index.bucket_room
        if word == 0 or not is_unmapped(self.state.tier, word):
            return True  # by another thread meanwhile
        mapped = self.keeper.map_segment(
            which, (word & FM_LOCATION_MASK) >> self.state.tier[which].shift
        )
        self.require_open()
        return mapped or not is_unmapped(self.state.tier, word)

    cdef bint reach(self, uint64_t word, place_t* place) except -1:
        """As `locate`, having mapped the segment."""
        if locate(self.state.tier, word, place):
            return True
        if not self.state.shared or not is_unmapped(self.state.tier, word):
            return False
        self.state.unmapped = word
        self.map_missing()
        return locate(self.state.tier, word, place)
