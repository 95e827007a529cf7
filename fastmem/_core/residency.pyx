"""Which pages of a mapping are in memory, and having them read. See residency.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset
from fastmem._core.faults cimport guarded

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <unistd.h>
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22
    #endif
    static long fm_major_faults(int whose) {
        struct rusage used;
        return getrusage(whose, &used) ? 0 : used.ru_majflt;
    }
    static void fm_touch(const volatile char *base, size_t size) {
        for (size_t at = 0; at < size; at += 4096) (void)base[at];
    }
    """
    int madvise(void* base, size_t size, int advice)
    int mincore(void* base, size_t size, unsigned char* answers)
    int MADV_POPULATE_READ
    int RUSAGE_SELF
    int RUSAGE_THREAD
    long fm_major_faults(int whose)
    void fm_touch(const char* base, size_t size)
    int getpagesize()

cdef enum:
    WINDOW_PAGES = 1 << (WINDOW_BITS - PAGE_BITS)
    WIDEST_PAGE_BITS = 16  # that Linux knows; what begins there begins a page

ctypedef struct span_t:
    const char* base
    uint64_t size


cdef inline uint64_t words_of(uint64_t size) noexcept nogil:
    return (size + (1ULL << WINDOW_BITS) - 1) >> WINDOW_BITS


cdef uint64_t* bits_new(uint64_t size) noexcept nogil:
    return <uint64_t*>calloc(words_of(size) + 1, sizeof(uint64_t))


cdef void bits_forget(uint64_t* known, uint64_t size) noexcept nogil:
    memset(known, 0, words_of(size) * sizeof(uint64_t))


cdef bint ask(
    const char* base, uint64_t size, uint64_t* known, uint64_t first, uint64_t last
) noexcept nogil:
    cdef unsigned char answers[WINDOW_PAGES]
    cdef uint64_t window
    cdef uint64_t start
    cdef int page
    cdef uint64_t bits
    cdef int wide = max(getpagesize() >> PAGE_BITS, 1)
    for window in range(first >> 6, (last >> 6) + 1):
        start = window << WINDOW_BITS
        memset(answers, 0, sizeof(answers))
        if mincore(<void*>(base + start), min(size - start, 1ULL << WINDOW_BITS), answers):
            answers[0] = 1  # what cannot be asked is taken for known
            wide = WINDOW_PAGES
        bits = 0
        for page in range(WINDOW_PAGES):
            bits |= <uint64_t>(answers[page // wide] & 1) << page
        known[window] |= bits
    return are_known(known, first, last)


cdef uint64_t await_pages(
    const char* base, uint64_t size, uint64_t first, uint64_t last
) noexcept nogil:
    cdef uint64_t start = first << PAGE_BITS >> WIDEST_PAGE_BITS << WIDEST_PAGE_BITS
    cdef span_t span = span_t(base + start, min((last + 1) << PAGE_BITS, size) - start)
    cdef long before = fm_major_faults(RUSAGE_THREAD)
    if madvise(<void*>span.base, span.size, MADV_POPULATE_READ):
        guarded(touch, &span)  # an older kernel, or a page that cannot be had
    return fm_major_faults(RUSAGE_THREAD) - before


cdef void touch(void* facts) noexcept nogil:
    cdef span_t* span = <span_t*>facts
    fm_touch(span.base, span.size)


cdef void note_known(uint64_t* known, uint64_t first, uint64_t last) noexcept nogil:
    cdef uint64_t page
    if known == NULL:
        return
    for page in range(first, last + 1):
        known[page >> 6] |= 1ULL << (page & 63)


cdef uint64_t major_faults() noexcept nogil:
    return fm_major_faults(RUSAGE_SELF)
