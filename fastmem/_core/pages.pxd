"""Arrays that grow large; pages.h says how."""

cdef extern from "pages.h" nogil:
    void* array_new "fm_array_new"(size_t size) noexcept
    void* array_grow "fm_array_grow"(void* array, size_t old_size, size_t size) noexcept
    void array_free "fm_array_free"(void* array, size_t size) noexcept
    void array_filled "fm_array_filled"(void* start, void* end) noexcept
    void array_discard "fm_array_discard"(void* start, void* end) noexcept
