"""Walking the log and the index: reclaim's cursor, iteration, checks."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from fastmem._core.appending cimport draft_t
from fastmem._core.index cimport (
    bucket_count, buckets_in, cursor_t, first_slot, home_of, level_in, next_entry, next_slot,
    reachable, tag_of,
)
from fastmem._core.layout cimport (
    FM_LINK_BIT, FM_LOCATION_MASK, FM_POINTER, FM_SEAL, FM_TAG_MASK, FM_TIER_BIT, FM_TOMBSTONE,
    FM_VALUE, fm_load_acquire,
)
from fastmem._core.log cimport Log
from fastmem._core.lookup cimport digest_of, expired, find_word, log_t
from fastmem._core.moves cimport clear_slot
from fastmem._core.reading cimport Record, read_record
from fastmem._core.record cimport key_of, record_units
from fastmem._core.tiers cimport (
    COLD, WARM, locate, locate_at, place_t, segment_end, tier_t, valid, whole,
)

from fastmem._core.log import LogNeeds

cdef enum:
    GROUPS_A_STEP = 64

cdef enum:  # what `meet` returns
    LEADS
    DAMAGED
    MOVED

cdef enum:  # what `records_of` returns
    HEADS    # the live records' headers
    EXPIRED  # the headers of those that expired
    WHOLE    # the live records and their bodies, and what is damaged


def next_record(Log log not None, int which, uint64_t at):
    """Return (record, address after it) for the first whole record at or after `at`.

    (None, address) at the seal or the end of the segment. `live` tells whether the index leads to
    it; only live records carry their body, and of those none that is damaged, which is counted.
    """
    cdef tier_t* tier = &log.state.tier[which]
    cdef uint64_t end = segment_end(tier, at)
    cdef place_t place
    cdef Record record
    cdef uint64_t digest
    cdef uint64_t word
    cdef bint live
    cdef cursor_t cursor
    log.require_open()
    log.reach(at | tier.bit, &place)
    while at < end and locate_at(tier, at, &place):
        if not valid(&place):
            at += 1
            continue
        if place.record.kind == FM_SEAL:
            break
        digest = digest_of(&log.state, key_of(place.record), place.record.klen)
        word = tag_of(&log.state.index, digest) | tier.bit | at
        live = place.record.kind != FM_TOMBSTONE and find_word(&log.state, digest, word, &cursor)
        record = read_record(word, &place, live)
        record.live = live
        if live and record.body is None:
            log.note_corrupt(word)
        return record, at + record_units(place.record, at)
    return None, at


def forget(Log log not None, int which, uint64_t number, provide):
    """Clear every slot that leads into a segment, which is about to go. Return how many.

    What a step needs ``provide(need)`` gives it.
    Only damage leaves such slots: a record whose header does not validate is met by no walk.
    """
    cdef tier_t* tier = &log.state.tier[which]
    cdef draft_t draft
    cdef uint64_t cleared = 0
    log.require_open()
    first_slot(&log.state.index, 0, &draft.cursor)
    while next_entry(&log.state.index, &draft.cursor, &draft.expected):
        if draft.expected & FM_TIER_BIT == tier.bit and (
            (draft.expected & FM_LOCATION_MASK) >> tier.shift == number
        ):
            clear(log, &draft, provide)
            cleared += 1
    return cleared


def forget_damaged(Log log not None, provide):
    """Clear every slot that leads to no sound header of a key of its own. Return how many."""
    cdef draft_t draft
    cdef place_t place
    cdef uint64_t cleared = 0
    log.require_open()
    first_slot(&log.state.index, 0, &draft.cursor)
    while next_entry(&log.state.index, &draft.cursor, &draft.expected):
        if meet(log, &draft.cursor, directory_of(log), &draft.expected, &place) == DAMAGED:
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

    A group is what was one bucket when the iteration took (groups, level), so
    that a key present throughout is seen exactly once however the table grows meanwhile; and a
    key that went, and came back in another slot, not twice.
    """
    cdef log_t* state = &log.state
    cdef uint64_t group
    cdef uint64_t home
    cdef uint64_t stride
    cdef uint64_t word = 0
    cdef uint64_t directory
    cdef cursor_t cursor
    cdef place_t place
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
        while home < bucket_count(&state.index):
            if home >= state.index.bucket_room:  # which another process has added meanwhile
                log.require_room()
            directory = directory_of(log)
            first_slot(&state.index, home, &cursor)
            while next_slot(&state.index, &cursor, &word):
                met = MOVED if word == 0 else meet(log, &cursor, directory, &word, &place)
                if met == MOVED or word in seen:
                    continue
                if met == DAMAGED:
                    seen.add(word)
                    if which == WHOLE:
                        found.append(lost_record(word))
                    else:
                        log.note_corrupt(word)
                elif expired(state, place.record) == (which == EXPIRED):
                    record = read_record(word, &place, which == WHOLE)
                    if record.key not in seen:
                        seen.add(record.key)
                        found.append(record)
            home += stride
    return found


cdef inline uint64_t directory_of(Log log) noexcept:
    return fm_load_acquire(&log.state.index.head.directory)


cdef int meet(
    Log log, const cursor_t* cursor, uint64_t directory, uint64_t* word, place_t* place
) except -1:
    """Go where the word in a slot leads, which another process may change meanwhile: LEADS, to a
    sound header of a key that belongs there; DAMAGED; MOVED, out of the slot or, since that was the
    directory, out of the chain.
    """
    cdef uint64_t now
    while True:
        log.reach(word[0], place)
        if leads(&log.state, cursor.home, word[0], place):
            return LEADS
        now = fm_load_acquire(&cursor.bucket.slot[cursor.slot])
        if now == word[0]:
            return DAMAGED if directory == directory_of(log) else MOVED
        if now == 0 or now & FM_LINK_BIT:
            return MOVED
        word[0] = now


cdef bint leads(const log_t* state, uint64_t home, uint64_t word, place_t* place) noexcept nogil:
    """True when a word in the chain of `home` leads to a sound header of a key that belongs there.

    A damaged word may lead to the record of another key, which then would be met twice.
    """
    cdef uint64_t digest
    if not locate(state.tier, word, place) or not valid(place):
        return False
    digest = digest_of(state, key_of(place.record), place.record.klen)
    return (
        tag_of(&state.index, digest) == word & FM_TAG_MASK
        and home_of(&state.index, digest) == home
    )


cdef Record lost_record(uint64_t word):
    """What stands for a word that leads to no record of its own: it has neither key nor body."""
    cdef Record record = Record.__new__(Record)
    record.word = word
    return record


def _walk(Log log, uint64_t groups_a_step, int which):
    cdef uint64_t directory
    cdef uint64_t groups
    cdef uint64_t first
    log.require_open()
    log.require_room()
    directory = directory_of(log)
    groups = buckets_in(directory)
    for first in range(0, groups, groups_a_step):
        yield from records_of(log, groups, level_in(directory), first, groups_a_step, which)


def heads(Log log not None, bint only_expired=False):
    """Iterate the headers of all live records, as Records without bodies; or of those that expired
    and are still counted.

    A key that is there throughout comes exactly once, however the table grows meanwhile; one that
    comes or goes may be met or not. Changes never raise.
    """
    return _walk(log, GROUPS_A_STEP, EXPIRED if only_expired else HEADS)


def wholes(Log log not None):
    """Iterate all live records with their bodies, as `heads` does their headers. One without a body
    is damaged; without a key, its header is. Nothing is noted, counted or marked.
    """
    return _walk(log, 1, WHOLE)  # bodies of one group at a time: no more in memory


def check_index(Log log not None):
    """Walk every chain and return what is wrong with it, as sentences; empty when sound.

    Each word must lead to a whole record of the right tag and home, no key twice, no word at or
    past the tail, the counts exact.
    """
    cdef log_t* state = &log.state
    cdef uint64_t home
    cdef uint64_t word = 0
    cdef uint64_t tally[2]
    cdef cursor_t cursor
    log.require_open()
    tally[WARM] = tally[COLD] = 0
    problems = []
    for home in range(reachable(&state.index)):
        keys = []
        if fm_load_acquire(&state.index.buckets[home].version) & 1:
            problems.append(f"bucket {home} is marked busy")
        first_slot(&state.index, home, &cursor)
        while next_slot(&state.index, &cursor, &word):
            if word:
                tally[COLD if word & FM_TIER_BIT else WARM] += 1
                keys.append(check_entry(log, home, word, problems))
        for key in keys:
            if key is not None and keys.count(key) > 1:
                problems.append(f"bucket {home}: key {key!r} twice")
    if (tally[WARM], tally[COLD]) != (log.warm_entries, log.cold_entries):
        problems.append(
            f"counts say {log.warm_entries} warm and {log.cold_entries} cold, "
            f"the chains hold {tally[WARM]} and {tally[COLD]}"
        )
    return problems


cdef bytes check_entry(Log log, uint64_t home, uint64_t word, list problems):
    """Check what one slot leads to. Return the key, None when no whole record is there."""
    cdef log_t* state = &log.state
    cdef tier_t* tier = &state.tier[COLD if word & FM_TIER_BIT else WARM]
    cdef place_t place
    cdef uint64_t digest
    if not log.reach(word, &place) or not whole(&place):
        problems.append(f"bucket {home}: {word:#x} leads to no whole record")
        return None
    key = PyBytes_FromStringAndSize(key_of(place.record), place.record.klen)
    digest = digest_of(state, key_of(place.record), place.record.klen)
    if home_of(&state.index, digest) != home:
        problems.append(f"bucket {home}: key {key!r} belongs elsewhere")
    if tag_of(&state.index, digest) != word & FM_TAG_MASK:
        problems.append(f"bucket {home}: key {key!r} has the wrong tag")
    if place.at >= tier.tail[0]:
        problems.append(f"bucket {home}: key {key!r} lies past the tail")
    if place.record.kind != FM_VALUE and place.record.kind != FM_POINTER:
        problems.append(f"bucket {home}: key {key!r} leads to kind {place.record.kind}")
    return key
