"""Changes under a guard. A fault cuts a step short wherever it is; see shelter.pxd for the rest.

A step writes its record where nobody looks before it changes the index, so that most faults (a
segment that was cut, a bucket that is gone) come while nothing can be seen of it. Then it is as if
it had never begun. Else only an opening can tell what is half done: the lock stays taken, and every
call of this process is refused.
"""

from libc.stdint cimport uint64_t
from fastmem._core.appending cimport change
from fastmem._core.faults cimport guarded
from fastmem._core.lease cimport release
from fastmem._core.lookup cimport log_t
from fastmem._core.mapping cimport Mapping

from fastmem.errors import StoreError

ctypedef struct change_t:
    log_t* log
    step_t step
    draft_t* draft
    int outcome


cdef int change_guarded(LogReader log, step_t step, draft_t* draft) except -1:
    cdef change_t facts = change_t(&log.state, step, draft, 0)
    cdef uint64_t fault
    log.state.index.changing = False
    fault = guarded(run, &facts)
    if fault:
        log.state.faults += 1
        log.state.poisoned = log.state.index.changing or (
            log.state.locked and guarded(unlock, &facts) != 0
        )
        raise_fault(log, fault)
    return facts.outcome


cdef void run(void* facts) noexcept nogil:
    cdef change_t* one = <change_t*>facts
    one.outcome = change(one.log, one.step, one.draft)


cdef void unlock(void* facts) noexcept nogil:
    cdef log_t* log = (<change_t*>facts).log
    release(&log.lease)
    log.locked = False


cdef int raise_fault(LogReader log, uint64_t fault) except -1:
    cdef Mapping mapping = log.sup_map
    place = "the first page"
    if log.processes is not None and (
        fault - <uint64_t>log.processes.base < log.processes.size
    ):
        place = "the lines of the processes"
    elif fault - <uint64_t>mapping.base >= mapping.size:
        for name, mapping in log.maps.items():
            if fault - <uint64_t>mapping.base < mapping.size:
                place = f"the {name}"
                if isinstance(name, tuple):
                    place = f"{'cold' if name[0] else 'warm'} segment {name[1]}"
                place = f"a page of {place} (offset {fault - <uint64_t>mapping.base:,})"
                break
    left = "reopen the store, which puts it right" if log.state.poisoned else "nothing has changed"
    raise StoreError(
        f"{place} is missing: the file was cut, the device failed, or it is full; {left}", log.path
    )
