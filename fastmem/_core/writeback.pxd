"""L1 joined with the log: the steps that must be one step to every other thread.

Each method marked ATOMIC, here and in the classes on top, runs no user code between its first look
and its last change and never releases the GIL. References are dropped (which may run ``__del__``)
when everything is whole. What is appended is done: from then on nothing fails for want of memory.

In write-back mode an entry may be dirty: no lower tier holds it. A dirty victim waits in `limbo`,
where reads find it, until ``_spill``, which the subclass provides, has written it. Every key is in
at most one of L1 (dirty), limbo and below.
"""

from libc.stdint cimport int64_t, uint64_t

from fastmem._core.appending cimport draft_t
from fastmem._core.coherence cimport Coherent
from fastmem._core.drafts cimport Draft


cdef class WriteBack(Coherent):
    cdef readonly dict _limbo           # key -> value of dirty victims
    cdef readonly dict _limbo_deadline  # key -> deadline_ns
    cdef readonly uint64_t _demoted     # victims that a lower tier has: clean, or written since
    cdef readonly uint64_t _unspilled   # dirty victims for which there was no memory
    # Times a key went from below or limbo up to L1. Every other way leads down, so a reader that
    # goes through L1, limbo and below in this order and finds nothing has missed nothing if this
    # stayed the same.
    cdef readonly uint64_t _raised
    cdef bint sealed                    # no more dirty entries: the memory is closing

    cdef int note_use(self, object key, uint64_t word) except -1
    cdef bint send_to_limbo(self, object key, object value, int64_t deadline_ns) except -1
    # ATOMIC. As Log.put, or Log.put_cold, of the record; `draft` tells what came of it. With a
    # guard (see `allows`) only if, other processes included, it still holds. Raises LogNeeds, and
    # nothing has changed.
    cdef bint append_record(
        self, bytes encoded, bint cold, Draft record, object guard, draft_t* draft
    ) except -1
    # Takes a key out of limbo. The caller keeps the value, whose ``__del__`` may run any code,
    # until everything is whole.
    cdef object limbo_take(self, object key)
