"""Memory asked for before it is needed, so that several loads are under way at once.

Hints, no more: what they touch is looked at again by whoever reads.
"""

from libc.stdint cimport uint64_t
from fastmem._core.index cimport SLOTS, home_in, home_of, tag_of
from fastmem._core.layout cimport FM_LINK_BIT, FM_TAG_MASK, fm_bucket, fm_load_relaxed
from fastmem._core.lookup cimport log_t
from fastmem._core.tiers cimport locate, place_t

cdef extern from *:
    """
    #ifndef FASTMEM_AHEAD
    #define FASTMEM_AHEAD
    #define fm_prefetch(place) __builtin_prefetch((place), 0, 3)
    static inline void fm_prefetch_likely(const char *place) {
    #pragma GCC unroll 18
        for (int line = 0; line < 18; line++) fm_prefetch(place + 64 * line);
    }
    #endif
    """
    void fm_prefetch(const void* place) noexcept nogil
    void fm_prefetch_likely(const char* place) noexcept nogil

cdef enum:
    LINE_BYTES = 64
    LIKELY_BYTES = 18 * LINE_BYTES  # of a small value's record


cdef inline void ask_for_bucket(const log_t* log, uint64_t digest) noexcept nogil:
    """The bucket of a key, as far as is known without a look."""
    fm_prefetch(&log.index.buckets[home_in(log.directory, digest)])


cdef inline void ask_for_place(const place_t* place) noexcept nogil:
    """The record there, if it is a small one."""
    cdef uint64_t offset = 0
    if place.room >= LIKELY_BYTES:
        fm_prefetch_likely(<const char*>place.record)
        return
    while offset < place.room:
        fm_prefetch(<const char*>place.record + offset)
        offset += LINE_BYTES


cdef inline void ask_for_record(const log_t* log, uint64_t digest) noexcept nogil:
    """What is probably a key's record: its bucket is looked at, so this is work for a guard."""
    cdef uint64_t home = home_of(&log.index, digest)
    cdef const fm_bucket* bucket = &log.index.buckets[home]
    cdef uint64_t tag = tag_of(&log.index, digest)
    cdef uint64_t word
    cdef place_t place
    cdef int i
    if home >= log.index.bucket_room:
        return
    for i in range(SLOTS):
        word = fm_load_relaxed(&bucket.slot[i])
        if word and (word & FM_TAG_MASK) == tag and not word & FM_LINK_BIT:
            if locate(log.tier, word, &place):
                ask_for_place(&place)
            return
