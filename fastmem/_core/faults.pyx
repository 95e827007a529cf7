"""Guards against SIGBUS, for the units that touch mapped bytes: one unit, since a process has one
handler.
"""

from libc.stdint cimport uint64_t, uintptr_t
from fastmem._core.layout cimport FM_GONE, fm_load_acquire

cdef extern from "faults.h":
    uintptr_t fm_guarded_pair(
        work_t first, bint (*between)(void* facts) noexcept, work_t second, void* facts
    ) noexcept

cdef extern from "faults.h" nogil:
    uintptr_t fm_guarded(work_t work, void* facts) noexcept
    bint fm_watch(const void* base, size_t size) noexcept
    void fm_unwatch(const void* base) noexcept
    void fm_stay() noexcept

ctypedef struct load_t:
    const uint64_t* word
    uint64_t value


cdef uint64_t guarded(work_t work, void* facts) noexcept nogil:
    return fm_guarded(work, facts)


cdef uint64_t guarded_pair(
    work_t first, bint (*between)(void* facts) noexcept, work_t second, void* facts
) noexcept:
    return fm_guarded_pair(first, between, second, facts)


cdef bint watch(const void* base, size_t size) noexcept nogil:
    fm_stay()
    return fm_watch(base, size)


cdef void unwatch(const void* base) noexcept nogil:
    fm_unwatch(base)


cdef void stay() noexcept nogil:
    fm_stay()


cdef uint64_t load_guarded(const uint64_t* word) noexcept nogil:
    cdef load_t load = load_t(word, FM_GONE)
    fm_guarded(take_word, &load)
    return load.value


cdef void take_word(void* facts) noexcept nogil:
    cdef load_t* load = <load_t*>facts
    load.value = fm_load_acquire(load.word)
