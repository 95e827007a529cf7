"""Keys whose values are being loaded: what is loaded may be stored only while nobody changed them.

A lease is void from the moment that its key is put, deleted or cleared, by whom and in what way
ever: see `Entries.install_at` and `discard`. Leases are found by the fragment of their key, so that
voiding them runs no user code, allocates nothing and cannot fail; of two keys with one fragment a
change of one voids the leases of both, which costs a load and no more.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    LEASE_CHAINS = 64


# ATOMIC. Whether a key is a tuple that begins with what tells one function from others: that very
# object, or an equal name.
cdef bint begins_with(object key, object token) noexcept


cdef class Lease:
    cdef readonly object key
    cdef readonly bint held        # granted, and neither void nor ended
    cdef uint32_t fragment
    cdef uint64_t bucket           # of a memory: the home of the key, and its version when it was
    cdef uint64_t stamp            # granted
    cdef Lease next                # of the chain
    cdef Leases home

    # ATOMIC. Takes it out of its chain; again does nothing.
    cdef void end(self) noexcept


cdef class Leases:
    cdef dict chains               # number -> the first lease of that chain, or None
    cdef uint32_t out              # leases in chains
    cdef uint64_t grants           # so far
    cdef object process            # whose threads hold them

    # ATOMIC. All of one fragment; all.
    cdef void void(self, uint32_t fragment) noexcept
    cdef void void_all(self) noexcept
    # ATOMIC. Those whose key `begins_with` it.
    cdef void void_of(self, object token) noexcept
    # The held lease of an equal key, or None. May run `__eq__`.
    cdef Lease find(self, object key, uint32_t fragment)
    # The held lease of a key equal to that of `fresh`, or else `fresh`, which now is it.
    cdef Lease enter(self, Lease fresh, uint32_t fragment)
    # ATOMIC. Grants `fresh` beside any other of its key.
    cdef int grant(self, Lease fresh, uint32_t fragment) except -1
