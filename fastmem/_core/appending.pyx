"""Changing a log, under its one write lock.

Everything here is C: between lock and unlock nothing is allocated, raised or called that could
run Python code, and every path out of a step leads through the one unlock.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport (
    change_word, home_of, insert_word, is_at, raise_version, split_some, stamp_of, tag_of,
    wants_growth,
)
from fastmem._core.layout cimport (
    FM_COLD, FM_HEADER_UNITS, FM_POINTER, FM_SEAL, FM_SHADOWS_L3, FM_TIER_BIT,
    FM_TOMBSTONE, FM_UNIT, fm_cold, fm_pointer, fm_record,
)
from fastmem._core.lease cimport acquire, release
from fastmem._core.lookup cimport expired, find
from fastmem._core.needs cimport (
    CHORE_PACE, CHORE_POPULATE, DONE, NEED_COLD_SEGMENT, NEED_LOCK, NEED_MAPPING, NEED_OVERFLOW,
    NEED_REPAIR, NEED_SEGMENT, STALE,
)
from fastmem._core.record cimport body_offset, record_units, void_record, write_record
from fastmem._core.skips cimport write_skip
from fastmem._core.tiers cimport (
    COLD, WARM, is_mapped, locate_at, move_tail, place_t, segment_begin, segment_end, tail_agrees,
    version_of,
)


cdef int change(log_t* log, step_t step, draft_t* draft) noexcept nogil:
    """Run a step under the write lock."""
    cdef int outcome
    if not acquire(&log.lease):
        return NEED_LOCK
    log.locked = True
    if log.shared and not (tail_agrees(&log.tier[WARM]) and tail_agrees(&log.tier[COLD])):
        outcome = NEED_REPAIR
    else:
        outcome = step(log, draft)
    release(&log.lease)
    log.locked = False
    return outcome


cdef int put_warm(log_t* log, draft_t* draft) noexcept nogil:
    """Append a warm record and point the key's slot at it."""
    cdef place_t older
    cdef uint64_t old = find_key(log, draft, &older)
    if log.unmapped:
        return NEED_MAPPING
    if is_stale(log, draft, old, &older):
        return STALE
    return supersede(log, &log.tier[WARM], draft, old, &older)


cdef int put_cold(log_t* log, draft_t* draft) noexcept nogil:
    """Append a cold record and point the key's slot at it, or clear it for a tombstone.

    One that is moved keeps the version of what it replaces; else it takes the next one.
    """
    cdef place_t older
    cdef uint64_t old = find_key(log, draft, &older)
    if log.unmapped:
        return NEED_MAPPING
    if is_stale(log, draft, old, &older):
        return STALE
    if draft.moved and old:
        draft.cold.origin = version_of(&older)
        return supersede(log, &log.tier[COLD], draft, old, &older)
    draft.moved = False
    return supersede_below(log, draft, old, &older)


cdef int erase(log_t* log, draft_t* draft) noexcept nogil:
    """Append a tombstone and clear the key's slot. STALE when there was nothing to be seen."""
    cdef place_t older
    cdef uint64_t old = find_key(log, draft, &older)
    if log.unmapped:
        return NEED_MAPPING
    if old == 0 and not draft.conditional:
        raise_version(&log.index, draft.digest)
    if old == 0 or expired(log, older.record) or draft.conditional and old != draft.expected:
        return STALE
    return supersede(log, &log.tier[WARM], draft, old, &older)


cdef int erase_cold(log_t* log, draft_t* draft) noexcept nogil:
    """As erase, by a cold tombstone. It takes the next version."""
    cdef place_t older
    cdef uint64_t old = find_key(log, draft, &older)
    if log.unmapped:
        return NEED_MAPPING
    if old == 0 or expired(log, older.record) or draft.conditional and old != draft.expected:
        return STALE
    return supersede_below(log, draft, old, &older)


cdef int shadow(log_t* log, draft_t* draft) noexcept nogil:
    """Append a cold record, and leave the index as it is."""
    cdef place_t room
    cdef int need = write_next(&log.tier[COLD], draft, &room)
    if need == DONE:
        advance(log, &log.tier[COLD], record_units(room.record, room.at))
    return need


cdef int make_ready(log_t* log, draft_t* draft) noexcept nogil:
    """Make room for a warm record that is about to follow."""
    cdef place_t room
    return tail_room(&log.tier[WARM], &draft.head, &room)


cdef int stand_by(log_t* log, draft_t* draft) noexcept nogil:
    """Change nothing."""
    return DONE


# -- what the steps are made of ------------------------------------------------------------------


cdef uint64_t find_key(log_t* log, draft_t* draft, place_t* older) noexcept nogil:
    return find(log, draft.key, draft.head.klen, draft.digest, &draft.cursor, older)


cdef inline bint is_stale(log_t* log, draft_t* draft, uint64_t old, place_t* older) noexcept nogil:
    """Whether a put may not go on that finds `old`, 0 for none, in the key's slot."""
    if draft.stamped and not is_at(&log.index, draft.digest, draft.home, draft.stamp):
        return True
    if not draft.conditional or old == draft.expected:
        return False
    return draft.expected != 0 or not expired(log, older.record)


cdef int supersede_below(
    log_t* log, draft_t* draft, uint64_t old, const place_t* older
) noexcept nogil:
    """As supersede, by a cold record that takes the next version: an address of the warm log, if
    there is one, which notes that no record of its own is lost there.
    """
    cdef tier_t* warm = &log.tier[WARM]
    cdef fm_record least
    cdef place_t taken
    cdef int need
    memset(&least, 0, sizeof(least))
    if warm.segment_bytes:
        need = tail_room(warm, &least, &taken)
        if need:
            return need
        write_skip(&taken, 1)  # past the tail until the version is taken
    draft.cold.origin = warm.tail[0]
    return supersede(log, &log.tier[COLD], draft, old, older)


cdef inline int supersede(
    log_t* log, tier_t* tier, draft_t* draft, uint64_t old, const place_t* older
) noexcept nogil:
    """Append the draft and apply it: the key's slot goes from `old`, 0 for none, to the new."""
    cdef tier_t* versions = &log.tier[WARM]
    cdef place_t room
    cdef int need
    if old and not tier.bit and (old & FM_TIER_BIT or older.record.flags & FM_SHADOWS_L3):
        draft.head.flags |= FM_SHADOWS_L3
    need = write_next(tier, draft, &room)
    if need:
        return need
    draft.word = 0
    if draft.head.kind != FM_TOMBSTONE:
        draft.word = tag_of(&log.index, draft.digest) | tier.bit | room.at
    if old:
        change_word(&log.index, &draft.cursor, old, draft.word, draft.moved)
        note_freed(log, old, older)
    elif draft.word and not insert_word(
        &log.index, home_of(&log.index, draft.digest), draft.word
    ):
        void_record(<fm_record*>room.record)
        return NEED_OVERFLOW
    if tier.bit and not draft.moved:
        # Its version is taken before the cold tail passes it: no other record may get it.
        move_tail(versions, versions.tail[0] + 1)
    advance(log, tier, record_units(room.record, room.at))
    draft.stamp = stamp_of(&log.index, draft.digest, &draft.home)
    return DONE


cdef int write_next(tier_t* tier, draft_t* draft, place_t* room) noexcept nogil:
    """Write a record where the tail is, and tell where. Nobody sees it until it is applied."""
    cdef int need = tail_room(tier, &draft.head, room)
    if need == DONE:
        write_record(
            <char*>room.record, room.at, tier.salt, &draft.head, &draft.cold, draft.key, draft.body
        )
    return need


cdef int tail_room(tier_t* tier, const fm_record* head, place_t* room) noexcept nogil:
    """Where the next record of a tier goes, or what is needed first.

    Moves the tail to the next segment, sealing the last, when the record does not fit.
    """
    cdef uint64_t at = tier.tail[0]
    cdef uint64_t end = segment_end(tier, at)
    # Versions of the archive's own puts may have moved the tail into a segment's header.
    at = max(at, segment_begin(tier, at) + FM_HEADER_UNITS)
    if at + record_units(head, at) > end:
        # The seal goes into the last one. A record may have ended with it.
        if at < end and not is_mapped(tier, at):
            return NEED_COLD_SEGMENT if tier.bit else NEED_SEGMENT
        if not locate_at(tier, end + FM_HEADER_UNITS, room):
            return NEED_COLD_SEGMENT if tier.bit else NEED_SEGMENT
        seal(tier, at, end)
        at = end + FM_HEADER_UNITS
    elif not locate_at(tier, at, room):
        return NEED_COLD_SEGMENT if tier.bit else NEED_SEGMENT
    move_tail(tier, at)
    return DONE


cdef void seal(const tier_t* tier, uint64_t at, uint64_t end) noexcept nogil:
    """End a segment with a SEAL, if what is left of it holds one."""
    cdef fm_record head
    cdef fm_cold nothing
    cdef place_t place
    memset(&head, 0, sizeof(head))
    memset(&nothing, 0, sizeof(nothing))
    head.kind = FM_SEAL
    head.bcheck = xxh3(NULL, 0)
    if tier.bit:
        head.flags = FM_COLD
    if at + record_units(&head, at) <= end and locate_at(tier, at, &place):
        write_record(<char*>place.record, at, tier.salt, &head, &nothing, b"", b"")


cdef void advance(log_t* log, tier_t* tier, uint64_t units) noexcept nogil:
    """Publish the record just applied: the tail moves past it. Then say what is wanted next."""
    move_tail(tier, tier.tail[0] + units)
    if wants_growth(&log.index):
        log.chores |= split_some(&log.index)
    if tier.bit:
        return
    if log.pace_bytes:
        log.appended += units * FM_UNIT
        if log.appended >= log.pace_bytes:
            log.chores |= CHORE_PACE
    if tier.tail[0] >= log.populate_mark:
        log.chores |= CHORE_POPULATE


cdef void note_freed(log_t* log, uint64_t word, const place_t* place) noexcept nogil:
    """Remember that a value file loses its record. There is room: the caller has made it."""
    cdef fm_pointer pointer
    if place.record.kind != FM_POINTER or place.record.vlen < sizeof(pointer):
        return
    memcpy(
        &pointer, <const char*>place.record + body_offset(place.record, place.at), sizeof(pointer)
    )
    log.freed[log.freed_count].word = word
    log.freed[log.freed_count].number = pointer.id
    log.freed_count += 1
