"""XXH3 as C function pointers, bound once from the xxhash wheel."""

from libc.stdint cimport uint64_t

ctypedef uint64_t (*xxh3_t)(const void* data, size_t length) noexcept nogil
ctypedef uint64_t (*xxh3_seeded_t)(const void* data, size_t length, uint64_t seed) noexcept nogil

cdef xxh3_t xxh3
cdef xxh3_seeded_t xxh3_seeded
