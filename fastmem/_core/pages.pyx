"""Arrays that grow large, for the units that hold them: one unit, since a process joins pages in
one place (joining.h).
"""

cdef extern from "pages.h" nogil:
    void* fm_array_new(size_t size) noexcept
    void* fm_array_grow(void* array, size_t old_size, size_t size) noexcept
    void fm_array_free(void* array, size_t size) noexcept
    void fm_array_filled(void* start, void* end) noexcept
    void fm_array_discard(void* start, void* end) noexcept
    void fm_pages_settle() noexcept


cdef void* array_new(size_t size) noexcept nogil:
    return fm_array_new(size)


cdef void* array_grow(void* array, size_t old_size, size_t size) noexcept nogil:
    return fm_array_grow(array, old_size, size)


cdef void array_free(void* array, size_t size) noexcept nogil:
    fm_array_free(array, size)


cdef void array_filled(void* start, void* end) noexcept nogil:
    fm_array_filled(start, end)


cdef void array_discard(void* start, void* end) noexcept nogil:
    fm_array_discard(start, end)


def settle():
    """Returns when no pages wait to be joined into huge ones; at once, where none ever are."""
    with nogil:
        fm_pages_settle()
