"""Ways through a log under guards; walking.pxd says which."""

from libc.stdint cimport uint64_t
from fastmem._core.faults cimport guarded
from fastmem._core.index cimport buckets_in, first_slot, home_of, next_slot, tag_of
from fastmem._core.index cimport reachable as reachable_in
from fastmem._core.layout cimport (
    FM_LINK_BIT, FM_PAGE, FM_SEAL, FM_TAG_MASK, FM_TOMBSTONE, FM_UNIT, fm_load_acquire,
)
from fastmem._core.looking cimport copy_head
from fastmem._core.lookup cimport digest_of, expired, find_word
from fastmem._core.record cimport key_of
from fastmem._core.tiers cimport (
    is_unmapped, locate, locate_at, place_t, segment_begin, valid,
)

from fastmem.errors import StoreError


cdef bint walk_on(walk_t* walk) noexcept nogil:
    cdef uint64_t fault = guarded(step, walk)
    cdef uint64_t after
    while fault:
        walk.log.faults += 1
        after = after_page(walk.tier, walk.at, fault)
        if after == 0:
            return False
        walk.at = after
        fault = guarded(step, walk)
    return True


cdef uint64_t after_page(const tier_t* tier, uint64_t at, uint64_t fault) noexcept nogil:
    cdef uint64_t offset
    cdef place_t begin
    if not locate_at(tier, segment_begin(tier, at), &begin):
        return 0
    offset = fault - <uint64_t>begin.record
    if offset >= begin.room:
        return 0
    return begin.at + (offset // FM_PAGE + 1) * FM_PAGE // FM_UNIT


cdef void step(void* facts) noexcept nogil:
    cdef walk_t* walk = <walk_t*>facts
    cdef copy_t* found = &walk.found
    cdef uint64_t digest
    cdef cursor_t cursor
    found.word = 0
    # A fault may come at any address: `at` is where the last step that was whole had ended.
    while walk.at < walk.end and locate_at(walk.tier, walk.at, &found.place):
        if not valid(&found.place) or not copy_head(found):
            walk.at += 1
            continue
        if found.head.kind == FM_SEAL:
            return
        digest = digest_of(walk.log, key_of(found.place.record), found.head.klen)
        found.word = tag_of(&walk.log.index, digest) | walk.tier.bit | walk.at
        walk.live = found.head.kind != FM_TOMBSTONE and find_word(
            walk.log, digest, found.word, &cursor
        )
        return


cdef void visit_home(visit_t* visit, log_t* log, uint64_t home) noexcept nogil:
    visit.log = log
    visit.home = home
    first_slot(&log.index, home, &visit.cursor)


cdef bint visit_next(visit_t* visit) noexcept nogil:
    visit.at_record = False
    if not guarded(next_used, visit):
        return True
    visit.log.faults += 1
    visit.leads = False
    return visit.at_record


cdef void next_used(void* facts) noexcept nogil:
    cdef visit_t* visit = <visit_t*>facts
    cdef log_t* log = visit.log
    cdef uint64_t word = 0
    visit.word = 0
    if visit.home >= reachable_in(&log.index):
        return
    while next_slot(&log.index, &visit.cursor, &word):
        if word:
            visit.word = word
            follow(visit)
            return


cdef bint visit_again(visit_t* visit, uint64_t* now) noexcept nogil:
    visit.at_record = False
    if guarded(look_at_slot, visit) and not visit.at_record:
        visit.log.faults += 1
        return False
    now[0] = visit.now
    return True


cdef void look_at_slot(void* facts) noexcept nogil:
    cdef visit_t* visit = <visit_t*>facts
    visit.leads = False
    visit.now = fm_load_acquire(&visit.cursor.bucket.slot[visit.cursor.slot])
    follow(visit)


cdef inline void follow(visit_t* visit) noexcept nogil:
    cdef log_t* log = visit.log
    visit.at_record = True
    visit.found.word = visit.word
    visit.unmapped = log.shared and is_unmapped(log.tier, visit.word)
    visit.leads = leads(log, visit.home, visit.word, &visit.found.place) and copy_head(
        &visit.found
    )
    visit.expired = visit.leads and expired(log, &visit.found.head)


cdef bint leads(const log_t* log, uint64_t home, uint64_t word, place_t* place) noexcept nogil:
    """True when a word in the chain of `home` leads to a sound header of a key that belongs there.

    A damaged word may lead to the record of another key, which then would be met twice.
    """
    cdef uint64_t digest
    if not locate(log.tier, word, place) or not valid(place):
        return False
    digest = digest_of(log, key_of(place.record), place.record.klen)
    return (
        tag_of(&log.index, digest) == word & FM_TAG_MASK
        and home_of(&log.index, digest) == home
    )


# -- with the index as it is by then -------------------------------------------------------------


cdef object missing_page(Log log):
    return StoreError("a page of the index is missing: reopen the store", log.path)


cdef uint64_t directory_of(Log log) except? 1:
    return log.word_at(&log.state.index.head.directory)


cdef int meet(Log log, visit_t* visit, uint64_t directory) except -1:
    """Go where the word in a slot leads, which another process may change meanwhile: LEADS, to a
    sound header of a key that belongs there; DAMAGED; MOVED, out of the slot or, since that was the
    directory, out of the chain.
    """
    cdef uint64_t now = visit.word
    while not visit.leads:
        if visit.unmapped:
            log.state.unmapped = visit.word
            log.map_missing()
        if not visit_again(visit, &now):
            return DAMAGED
        if visit.leads:
            return LEADS
        if now == visit.word:
            return DAMAGED if directory == directory_of(log) else MOVED
        if now == 0 or now & FM_LINK_BIT:
            return MOVED
        visit.word = now
        visit.unmapped = False
        if not visit_again(visit, &now):
            return DAMAGED
    return LEADS


cdef uint64_t reachable(Log log) except 0:
    """As that of the index, with what other processes have made of it until now. StoreError where
    its first page is missing.
    """
    cdef uint64_t directory = directory_of(log)
    if buckets_in(directory) > log.state.index.bucket_room and log.keeper is not None:
        log.keeper.learn_room()  # a bucket that was split just now has lost keys to one beyond
        log.require_open()
    return min(buckets_in(directory), log.state.index.bucket_room)
