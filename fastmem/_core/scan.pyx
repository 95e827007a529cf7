"""Walking the log and the index: reclaim's cursor, iteration, checks."""

from libc.stdint cimport uint64_t
from fastmem._core.appending cimport draft_t
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport buckets_in, home_of, level_in, tag_of
from fastmem._core.layout cimport (
    FM_LOCATION_MASK, FM_PAGE, FM_POINTER, FM_TAG_MASK, FM_TIER_BIT, FM_VALUE, fm_bucket,
)
from fastmem._core.log cimport Log
from fastmem._core.looking cimport copy_head
from fastmem._core.lookup cimport digest_of, log_t
from fastmem._core.moves cimport clear_slot
from fastmem._core.record cimport key_of, record_units
from fastmem._core.records cimport Record, record_of
from fastmem._core.tiers cimport COLD, WARM, locate, place_t, segment_end, tier_t, whole
from fastmem._core.walking cimport (
    DAMAGED, LEADS, MOVED, directory_of, meet, missing_page, reachable, visit_home, visit_next,
    visit_t, walk_on, walk_t,
)

from fastmem._core.log import LogNeeds

cdef enum:
    GROUPS_A_STEP = 64

cdef enum:  # what `records_of` returns
    HEADS    # the live records' headers
    EXPIRED  # the headers of those that expired
    WHOLE    # the live records and their bodies, and what is damaged

ctypedef struct trial_t:  # of what a slot leads to
    visit_t* visit
    bint whole
    bint at_home
    bint tagged
    bint past_tail


def next_record(Log log not None, int which, uint64_t at):
    """Return (record, address after it) for the first whole record at or after `at`.

    (None, address) at the seal or the end of the segment. `live` tells whether the index leads to
    it; only live records carry their body, and of those none that is damaged, which is counted.
    Pages that are missing are passed over; StoreError where it is one of the index.
    """
    cdef walk_t walk
    cdef Record record
    cdef place_t place
    log.require_open()
    log.reach(at | log.state.tier[which].bit, &place)
    walk.log = &log.state
    walk.tier = &log.state.tier[which]
    walk.at = at
    walk.end = segment_end(walk.tier, at)
    while True:
        if not walk_on(&walk):
            raise missing_page(log)
        if walk.found.word == 0:
            return None, walk.at
        record = record_of(&log.state, &walk.found, walk.live)
        if record.key is None:
            walk.at += 1
            continue
        record.live = walk.live
        if walk.live and record.body is None:
            log.note_corrupt(record.word)
        return record, walk.at + record_units(&walk.found.head, walk.at)


def forget(Log log not None, int which, uint64_t number, provide):
    """Clear every slot that leads into a segment, which is about to go. Return how many.

    What a step needs ``provide(need)`` gives it.
    Only damage leaves such slots: a record whose header does not validate is met by no walk.
    """
    return clear_where(log, which, number, provide)


def forget_damaged(Log log not None, provide):
    """Clear every slot that leads to no sound header of a key of its own. Return how many."""
    return clear_where(log, -1, 0, provide)


cdef object clear_where(Log log, int which, uint64_t number, provide):
    """Clear the slots that lead into a segment of tier `which`, or, -1, nowhere."""
    cdef tier_t* tier = &log.state.tier[max(which, 0)]
    cdef draft_t draft
    cdef visit_t visit
    cdef uint64_t cleared = 0
    cdef uint64_t home = 0
    cdef uint64_t directory
    cdef bint wanted
    log.require_open()
    while home < reachable(log):
        directory = directory_of(log)
        visit_home(&visit, &log.state, home)
        home += 1
        while True:
            if not visit_next(&visit):
                raise missing_page(log)
            if visit.word == 0:
                break
            if which < 0:
                wanted = meet(log, &visit, directory) == DAMAGED
            else:
                wanted = visit.word & FM_TIER_BIT == tier.bit and (
                    (visit.word & FM_LOCATION_MASK) >> tier.shift == number
                )
            if wanted:
                draft.cursor = visit.cursor
                draft.expected = visit.word
                clear(log, &draft, provide)
                cleared += 1
    return cleared


cdef int clear(Log log, draft_t* draft, provide) except -1:
    """Clear the slot that the draft's cursor leads to, if it still holds the expected word."""
    while True:
        try:
            log.take(clear_slot, draft)
        except LogNeeds as missing:
            provide(missing.what)
        else:
            return 0


cdef list records_of(
    Log log, uint64_t groups, uint64_t level, uint64_t first, uint64_t count, int which
):
    """Return what the groups [first, first + count) hold.

    A group is what was one bucket when the iteration took (groups, level), so that a key present
    throughout is seen exactly once however the table grows meanwhile; and a key that went, and came
    back in another slot, not twice.
    """
    cdef uint64_t group, home, stride, directory
    cdef visit_t visit
    cdef int met
    cdef Record record
    log.attend()
    found = []
    seen = set()  # keys; and words, of those that lead to none
    for group in range(first, min(first + count, groups)):
        stride = 1ULL << level
        if group < groups - stride or group >= stride:
            stride *= 2
        home = group
        seen.clear()
        while home < reachable(log):
            directory = directory_of(log)
            visit_home(&visit, &log.state, home)
            while True:
                if not visit_next(&visit):
                    if which == WHOLE:
                        found.append(lost_record(0, home))
                    break
                if visit.word == 0:
                    break
                met = meet(log, &visit, directory)
                if met == MOVED or visit.word in seen:
                    continue
                record = None
                if met == LEADS:
                    if visit.expired != (which == EXPIRED):
                        continue
                    record = record_of(&log.state, &visit.found, which == WHOLE)
                if record is not None and record.key is not None:
                    if record.key not in seen:
                        seen.add(record.key)
                        found.append(record)
                    continue
                seen.add(visit.word)
                if which == WHOLE:
                    found.append(lost_record(visit.word, 0))
                else:
                    log.note_corrupt(visit.word)
            home += stride
    return found


cdef Record lost_record(uint64_t word, uint64_t home):
    """What stands for a word that leads to no record of its own: it has neither key nor body. Word
    0: for a chain of which a page is missing. Its `version` is the offset of its bucket.
    """
    cdef Record record = Record.__new__(Record)
    record.word = word
    record.version = FM_PAGE + home * sizeof(fm_bucket)
    return record


def _walk(Log log, uint64_t groups_a_step, int which):
    cdef uint64_t groups
    cdef uint64_t level
    cdef uint64_t first
    cdef uint64_t directory
    log.require_open()
    log.require_room()
    directory = log.word_at(&log.state.index.head.directory)
    level = level_in(directory)
    groups = buckets_in(directory)
    for first in range(0, groups, groups_a_step):
        yield from records_of(log, groups, level, first, groups_a_step, which)


def heads(Log log not None, bint only_expired=False):
    """Iterate the headers of all live records, as Records without bodies; or of those that expired
    and are still counted.

    A key that is there throughout comes exactly once, however the table grows meanwhile; one that
    comes or goes may be met or not. Changes never raise.
    """
    return _walk(log, GROUPS_A_STEP, EXPIRED if only_expired else HEADS)


def wholes(Log log not None):
    """Iterate all live records with their bodies, as `heads` does their headers. One without a body
    is damaged; without a key, its header is; of word 0, a page of the index is missing, at
    `version` in the file. Nothing is noted, counted or marked.
    """
    return _walk(log, 1, WHOLE)  # bodies of one group at a time: no more in memory


def check_index(Log log not None):
    """Walk every chain and return what is wrong with it, as sentences; empty when sound.

    Each word must lead to a whole record of the right tag and home, no key twice, no word at or
    past the tail, the counts exact.
    """
    cdef log_t* state = &log.state
    cdef uint64_t home = 0
    cdef uint64_t tally[2]
    cdef visit_t visit
    log.require_open()
    tally[WARM] = tally[COLD] = 0
    problems = []
    while home < reachable(log):
        keys = []
        visit_home(&visit, state, home)
        if log.word_at(&visit.cursor.bucket.version) & 1:
            problems.append(f"bucket {home} is marked busy")
        while True:
            if not visit_next(&visit):
                problems.append(f"bucket {home}: a page is missing")
                break
            if visit.word == 0:
                break
            tally[COLD if visit.word & FM_TIER_BIT else WARM] += 1
            keys.append(check_entry(log, &visit, problems))
        for key in keys:
            if key is not None and keys.count(key) > 1:
                problems.append(f"bucket {home}: key {key!r} twice")
        home += 1
    if (tally[WARM], tally[COLD]) != (log.warm_entries, log.cold_entries):
        problems.append(
            f"counts say {log.warm_entries} warm and {log.cold_entries} cold, "
            f"the chains hold {tally[WARM]} and {tally[COLD]}"
        )
    return problems


cdef void try_entry(void* facts) noexcept nogil:
    cdef trial_t* trial = <trial_t*>facts
    cdef visit_t* visit = trial.visit
    cdef log_t* log = visit.log
    cdef tier_t* tier = &log.tier[COLD if visit.word & FM_TIER_BIT else WARM]
    cdef place_t* place = &visit.found.place
    cdef uint64_t digest
    trial.whole = locate(log.tier, visit.word, place) and whole(place) and copy_head(&visit.found)
    if trial.whole:
        digest = digest_of(log, key_of(place.record), visit.found.head.klen)
        trial.at_home = home_of(&log.index, digest) == visit.home
        trial.tagged = tag_of(&log.index, digest) == visit.word & FM_TAG_MASK
        trial.past_tail = place.at >= tier.tail[0]


cdef bytes check_entry(Log log, visit_t* visit, list problems):
    """Check what one slot leads to. Return the key, None when no whole record is there."""
    cdef trial_t trial
    cdef Record record = None
    meet(log, visit, directory_of(log))
    trial.visit = visit
    trial.whole = False
    if not guarded(try_entry, &trial) and trial.whole:
        record = record_of(visit.log, &visit.found, False)
    if record is None or record.key is None:
        problems.append(f"bucket {visit.home}: {visit.word:#x} leads to no whole record")
        return None
    key = record.key
    if not trial.at_home:
        problems.append(f"bucket {visit.home}: key {key!r} belongs elsewhere")
    if not trial.tagged:
        problems.append(f"bucket {visit.home}: key {key!r} has the wrong tag")
    if trial.past_tail:
        problems.append(f"bucket {visit.home}: key {key!r} lies past the tail")
    if record.kind != FM_VALUE and record.kind != FM_POINTER:
        problems.append(f"bucket {visit.home}: key {key!r} leads to kind {record.kind}")
    return key
