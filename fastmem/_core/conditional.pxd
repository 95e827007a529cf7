"""Verbs that look before they write, as one step."""

from libc.stdint cimport uint32_t, uint64_t

from fastmem._core.shell cimport Shell

cdef struct Place:         # where a key is, or would go, as of the `stamp` of the slots
    uint64_t stamp
    uint32_t index         # of its entry, expired or not, or 0
    uint32_t fragment


cdef class ConditionalVerbs(Shell):
    # Index of the live entry, 0 for a miss or an expired one; `at` serves install_at until user
    # code runs, then `again` brings both up to date: it looks up only if the table has changed.
    cdef uint32_t locate(self, object key, Place* at) except? 4294967295
    cdef uint32_t again(self, object key, Place* at) except? 4294967295
    # Index of the live entry that the caller is to remove. When there is none, what is being loaded
    # for the key is void all the same.
    cdef uint32_t find_doomed(self, object key) except? 4294967295
    # ATOMIC. The value of `index` if it is live, else MISSING.
    cdef object value_at(self, uint32_t index)
