"""A change of the log under a guard, and what is left of it where a page is missing."""

from libc.stdint cimport uint64_t
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.reading cimport LogReader

# As `change` of the log. StoreError for a page that is missing: the lock is free, and nothing has
# changed; but if the change could be seen already, the store is poisoned, lock and all.
cdef int change_guarded(LogReader log, step_t step, draft_t* draft) except -1
cdef int raise_fault(LogReader log, uint64_t fault) except -1
