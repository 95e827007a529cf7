"""What other processes do meanwhile to the files that a log stands on."""

from libc.stdint cimport uint64_t
from fastmem._core.descriptor cimport Descriptor, forget_in_children, remember_in_children
from fastmem._core.faults cimport peek
from fastmem._core.layout cimport FM_GONE, FM_LOCATION_MASK, FM_TIER_BIT, fm_add, fm_processes
from fastmem._core.lookup cimport BEYOND
from fastmem._core.mapping cimport Mapping
from fastmem._core.tiers cimport (
    is_unmapped, locate, move_tail, tail_agrees, tail_likely, tier_t,
)

from fastmem.errors import StoreError

ctypedef struct count_t:
    uint64_t* word
    uint64_t before

ctypedef struct tails_t:
    log_t* log
    bint agree
    bint likely


cdef class JoinedFiles(LogFiles):
    """A log's files that other processes may have open too."""

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
        cdef uint64_t incarnation = peek(&page.process[slot].incarnation)
        if incarnation == FM_GONE:
            raise StoreError("the lines of the processes are missing", self.path)
        remember_in_children(&self.state.lease.me)
        forget_in_children(&self.state.lease.me)
        self.processes = processes
        self.procs = procs
        self.state.lease.fd = procs.fd
        self.state.lease.me = slot << 48 | incarnation & ((1ULL << 48) - 1)
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
        cdef uint64_t changes
        self.require_open()
        if self.state.shared:
            changes = peek(&self.state.sup.changes)
            if changes != self.seen and changes != FM_GONE:  # without its page there is no news
                self.seen = changes  # first: what comes later is news
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
        self.attempt(vouch, &self.state)

    @property
    def tails_agree(self):
        """False when a tail is not what a step made it. Such a log takes no more records."""
        cdef tails_t tails = tails_t(&self.state, False, False)
        self.attempt(compare_tails, &tails)
        return tails.agree

    @property
    def tails_likely(self):
        """As `tails_agree`, of a process that may have died while it moved one. True, too, where
        none was moved by a step yet.
        """
        cdef tails_t tails = tails_t(&self.state, False, False)
        self.attempt(compare_tails, &tails)
        return tails.likely

    def note_change(self):
        """Tell the other processes that a segment has come or gone, or that the index has grown."""
        cdef count_t count = count_t(&self.state.sup.changes, 0)
        self.require_open()
        self.attempt(add_one, &count)
        if count.before == self.seen:  # else there is other news
            self.seen += 1

    def note_value_change(self):
        """Tell them that a value file has come or gone. Return how many had before."""
        cdef count_t count = count_t(&self.state.sup.value_changes, 0)
        self.require_open()
        self.attempt(add_one, &count)
        return count.before

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
            return self.has_room()
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


# -- work for a guard ----------------------------------------------------------------------------


cdef void add_one(void* facts) noexcept nogil:
    cdef count_t* count = <count_t*>facts
    count.before = fm_add(count.word, 1)


cdef void vouch(void* facts) noexcept nogil:
    cdef const tier_t* tier = (<log_t*>facts).tier
    move_tail(&tier[0], tier[0].tail[0])
    move_tail(&tier[1], tier[1].tail[0])


cdef void compare_tails(void* facts) noexcept nogil:
    cdef tails_t* tails = <tails_t*>facts
    cdef const tier_t* tier = tails.log.tier
    tails.agree = tail_agrees(&tier[0]) and tail_agrees(&tier[1])
    tails.likely = (tier[0].inverse[0] == 0 or tail_likely(&tier[0])) and (
        tier[1].inverse[0] == 0 or tail_likely(&tier[1])
    )
