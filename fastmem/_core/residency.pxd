"""Which pages of a mapping are in memory. A mapped page that is not is read by whoever touches it,
and if that is a thread with the GIL, all others wait for the device too.

A bit for each page says that it was in memory when the kernel was asked last. The bits are asked
first, since they cost next to nothing; they are forgotten when the process has waited for a page
all the same.
"""

from libc.stdint cimport uint64_t

cdef enum:
    PAGE_BITS = 12      # of an offset, for its place in a page
    WINDOW_BITS = 18    # ... for its place among what one question is about: a word of bits


cdef inline bint are_known(const uint64_t* known, uint64_t first, uint64_t last) noexcept nogil:
    """True when the pages first to last are known to be in memory; NULL: all of them."""
    cdef uint64_t page
    if known == NULL:
        return True
    if not known[first >> 6] >> (first & 63) & 1:
        return False
    for page in range(first + 1, last + 1):
        if not known[page >> 6] >> (page & 63) & 1:
            return False
    return True


# Bits for the pages of `size` bytes, none of them set. NULL: no memory.
cdef uint64_t* bits_new(uint64_t size) noexcept nogil
cdef void bits_forget(uint64_t* known, uint64_t size) noexcept nogil
# Ask the kernel of the pages first to last, and others around them. True when all are in memory.
cdef bint ask(
    const char* base, uint64_t size, uint64_t* known, uint64_t first, uint64_t last
) noexcept nogil
# Have the pages first to last read, and wait for them. It touches no bits, so it needs no GIL.
# Return how many of the thread's major faults that were.
cdef uint64_t await_pages(
    const char* base, uint64_t size, uint64_t first, uint64_t last
) noexcept nogil
# Note that the pages first to last were waited for: they are there now, or cannot be had.
cdef void note_known(uint64_t* known, uint64_t first, uint64_t last) noexcept nogil
# Major faults of the process so far: pages that somebody waited for.
cdef uint64_t major_faults() noexcept nogil
