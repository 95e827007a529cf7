"""Leases of keys that are being loaded; leases.pxd describes them."""

import os

from cpython.object cimport Py_EQ, PyObject_RichCompareBool

cdef object process_id = os.getpid


cdef bint begins_with(object key, object token) noexcept:
    if type(key) is not tuple or not key:
        return False
    first = (<tuple>key)[0]
    return first is token or (type(first) is str and type(token) is str and first == token)


cdef class Lease:
    """The right to store what is being loaded for `key`, while it is held."""

    cdef void end(self) noexcept:
        cdef Lease before
        cdef Leases home = self.home
        cdef Py_ssize_t chain = self.fragment % LEASE_CHAINS
        self.held = False
        if home is None:
            return
        self.home = None
        before = <Lease>home.chains.get(chain)
        if before is self:
            home.chains[chain] = self.next
        else:
            while before is not None and before.next is not self:
                before = before.next
            if before is None:  # of the parent of this process: see enter
                return
            before.next = self.next
        home.out -= 1


cdef class Leases:
    """The leases of one cache."""

    def __cinit__(self):
        # Of all small ints that it ever gets: looking up and replacing neither allocates nor fails.
        self.chains = dict.fromkeys(range(LEASE_CHAINS))
        self.process = process_id()

    cdef void void(self, uint32_t fragment) noexcept:
        cdef Lease lease
        if self.out:
            lease = <Lease>self.chains.get(fragment % LEASE_CHAINS)
            while lease is not None:
                if lease.fragment == fragment:
                    lease.held = False
                lease = lease.next

    cdef void void_all(self) noexcept:
        cdef Lease lease
        cdef Py_ssize_t chain
        if self.out:
            for chain in range(LEASE_CHAINS):
                lease = <Lease>self.chains.get(chain)
                while lease is not None:
                    lease.held = False
                    lease = lease.next

    cdef void void_of(self, object token) noexcept:
        cdef Lease lease
        cdef Py_ssize_t chain
        for chain in range(LEASE_CHAINS):
            lease = <Lease>self.chains.get(chain)
            while lease is not None:
                if begins_with(lease.key, token):
                    lease.held = False
                lease = lease.next

    cdef Lease find(self, object key, uint32_t fragment):
        cdef Lease lease
        if self.out == 0:
            return None
        lease = <Lease>self.chains.get(fragment % LEASE_CHAINS)
        while lease is not None:
            if lease.fragment == fragment and lease.held:
                # Comparing may end this lease or void it; then what follows it is still a chain.
                if PyObject_RichCompareBool(lease.key, key, Py_EQ) and lease.held:
                    return lease
            lease = lease.next
        return None

    cdef Lease enter(self, Lease fresh, uint32_t fragment):
        cdef Lease found
        cdef uint64_t grants
        process = process_id()
        if self.process != process:  # forked: the threads that would end these are not here
            self.void_all()
            self.chains = dict.fromkeys(range(LEASE_CHAINS))
            self.out = 0
            self.process = process
        while True:
            grants = self.grants
            found = self.find(fresh.key, fragment)
            if found is not None:
                return found
            if grants == self.grants:
                self.grant(fresh, fragment)
                return fresh

    cdef int grant(self, Lease fresh, uint32_t fragment) except -1:
        fresh.fragment = fragment
        fresh.home = self
        fresh.next = <Lease>self.chains.get(fragment % LEASE_CHAINS)
        self.chains[fragment % LEASE_CHAINS] = fresh
        fresh.held = True
        self.out += 1
        self.grants += 1
        return 0
