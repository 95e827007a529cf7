"""Lookups under a guard; looking.pxd says what for.

The first look is one piece of work. Where that meets a page that is gone, a second one goes from
slot to slot, each under a guard of its own: what lies elsewhere is still found.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy
from fastmem._core.faults cimport guarded
from fastmem._core.hashing cimport xxh3
from fastmem._core.index cimport NO_STAMP, first_slot, home_of, next_slot, stamp_of, tag_of
from fastmem._core.layout cimport (
    FM_COLD, FM_COLD_EXTENSION, FM_RECORD_HEADER, FM_TAG_MASK, FM_UNIT, fm_record,
)
from fastmem._core.lookup cimport find, find_word, is_live, note_damaged
from fastmem._core.record cimport body_bytes, body_offset, key_of, record_units
from fastmem._core.tiers cimport in_memory, is_unmapped, locate, valid

cdef enum:
    MOST_BEFORE_KEY = FM_RECORD_HEADER + FM_COLD_EXTENSION

ctypedef struct out_t:    # what `copy_out` copies
    const copy_t* copy
    char* key
    char* body

ctypedef struct bytes_t:  # what `copy_bytes` copies
    char* to
    const char* origin
    uint64_t length

ctypedef struct body_t:   # what `body_sound` looks at
    const copy_t* copy
    bint sound

ctypedef struct stamp_t:  # what `stamp_now` tells
    log_t* log
    uint64_t digest
    uint64_t home
    uint64_t stamp

ctypedef struct slot_t:   # what `holds_word` looks for
    log_t* log
    uint64_t digest
    uint64_t word
    bint there


cdef void look_at_once(void* facts) noexcept nogil:
    cdef look_t* look = <look_t*>facts
    look.length = MOST_BEFORE_KEY + look.klen
    if not look.bare:
        look.stamp = stamp_of(&look.log.index, look.digest, &look.home)  # before the slot
    look.found.word = find(
        look.log, look.key, look.klen, look.digest, &look.cursor, &look.found.place
    )
    if look.found.word:
        see(look)


cdef inline void see(look_t* look) noexcept nogil:
    """Take what was found, if a reader may see it."""
    if not is_live(look.log, &look.found.place):
        look.found.word = 0
    elif not look.bare:
        take(look)


cdef inline void take(look_t* look) noexcept nogil:
    """Copy the head of what was found, once all that is wanted of it is in memory."""
    cdef copy_t* found = &look.found
    if not copy_head(found):
        note_damaged(look.log, found.word)
        found.word = 0
    elif look.log.wary and not look.brief:
        look.length = record_units(&found.head, found.place.at) * FM_UNIT
        if not in_memory(&found.place, look.length):
            look.log.asleep = found.word
            found.word = 0


cdef uint64_t copy_version(const copy_t* copy) noexcept nogil:
    """As `version_of` of the record."""
    return copy.cold.origin if copy.place.tier.bit else copy.place.at


# -- slot by slot --------------------------------------------------------------------------------


cdef void look_again(look_t* look) noexcept nogil:
    cdef log_t* log = look.log
    look.found.word = 0
    if guarded(begin_again, look):
        log.faults += 1
        return
    while True:
        if guarded(next_candidate, look):
            log.faults += 1  # the rest of the chain is gone
            return
        if look.over:
            return
        if guarded(try_candidate, look):
            log.faults += 1
            note_damaged(log, look.found.word)
        elif look.over:
            return


cdef void begin_again(void* facts) noexcept nogil:
    cdef look_t* look = <look_t*>facts
    first_slot(&look.log.index, home_of(&look.log.index, look.digest), &look.cursor)


cdef void next_candidate(void* facts) noexcept nogil:
    cdef look_t* look = <look_t*>facts
    cdef uint64_t tag = tag_of(&look.log.index, look.digest)
    cdef uint64_t word = 0
    look.found.word = 0
    look.over = False
    while next_slot(&look.log.index, &look.cursor, &word):
        if word and (word & FM_TAG_MASK) == tag:
            look.found.word = word
            return
    look.over = True


cdef void try_candidate(void* facts) noexcept nogil:
    """Over, with a word or without, when the candidate is the key's record."""
    cdef look_t* look = <look_t*>facts
    cdef copy_t* found = &look.found
    if not locate(look.log.tier, found.word, &found.place):
        if look.log.shared and is_unmapped(look.log.tier, found.word):
            look.log.unmapped = found.word
            found.word = 0
            look.over = True
        else:
            note_damaged(look.log, found.word)
        return
    if look.log.wary and not in_memory(&found.place, look.length):
        look.log.asleep = found.word
        found.word = 0
        look.over = True
        return
    if not valid(&found.place):
        note_damaged(look.log, found.word)
        return
    if found.place.record.klen != look.klen or memcmp(
        key_of(found.place.record), look.key, look.klen
    ) != 0:
        return
    look.over = True
    see(look)


# -- copying out ---------------------------------------------------------------------------------


cdef bint copy_out(log_t* log, const copy_t* copy, char* key, char* body) noexcept nogil:
    cdef out_t out = out_t(copy, key, body)
    if guarded(copy_parts, &out):
        log.faults += 1
        return False
    return True


cdef void copy_parts(void* facts) noexcept nogil:
    cdef out_t* out = <out_t*>facts
    cdef const copy_t* copy = out.copy
    cdef const char* start = <const char*>copy.place.record
    cdef uint64_t head = FM_RECORD_HEADER + (
        FM_COLD_EXTENSION if copy.head.flags & FM_COLD else 0
    )
    if out.key != NULL:
        memcpy(out.key, start + head, copy.head.klen)
    if out.body != NULL:
        memcpy(
            out.body, start + body_offset(&copy.head, copy.place.at), body_bytes(&copy.head)
        )


cdef bint copy_bytes(log_t* log, char* to, const char* origin, uint64_t length) noexcept nogil:
    cdef bytes_t facts = bytes_t(to, origin, length)
    if guarded(copy_span, &facts):
        log.faults += 1
        return False
    return True


cdef void copy_span(void* facts) noexcept nogil:
    cdef bytes_t* span = <bytes_t*>facts
    memcpy(span.to, span.origin, span.length)


cdef bint body_sound(log_t* log, const copy_t* copy) noexcept nogil:
    cdef body_t facts = body_t(copy, False)
    if guarded(examine_body, &facts):
        log.faults += 1
        return False
    return facts.sound


cdef void examine_body(void* facts) noexcept nogil:
    cdef body_t* body = <body_t*>facts
    cdef const fm_record* head = &body.copy.head
    body.sound = xxh3(
        <const char*>body.copy.place.record + body_offset(head, body.copy.place.at),
        body_bytes(head),
    ) == head.bcheck


cdef bint holds_word(log_t* log, uint64_t digest, uint64_t word) noexcept nogil:
    """As `find_word`. False where the index cannot be had."""
    cdef slot_t slot = slot_t(log, digest, word, False)
    if guarded(look_for_word, &slot):
        log.faults += 1
        return False
    return slot.there


cdef void look_for_word(void* facts) noexcept nogil:
    cdef slot_t* slot = <slot_t*>facts
    cdef cursor_t cursor
    slot.there = find_word(slot.log, slot.digest, slot.word, &cursor)


cdef uint64_t stamp_now(log_t* log, uint64_t digest, uint64_t* home) noexcept nogil:
    cdef stamp_t facts = stamp_t(log, digest, 0, NO_STAMP)
    if guarded(take_stamp, &facts):
        log.faults += 1
        return NO_STAMP
    home[0] = facts.home
    return facts.stamp


cdef void take_stamp(void* facts) noexcept nogil:
    cdef stamp_t* one = <stamp_t*>facts
    one.stamp = stamp_of(&one.log.index, one.digest, &one.home)
