"""Arrays that grow large; pages.h says how. Nothing here fails otherwise than by NULL."""


# Zeroed; NULL when there is no memory. To be freed with its size.
cdef void* array_new(size_t size) noexcept nogil
# A full array with room behind, zeroed; NULL when there is no memory, and nothing has changed.
cdef void* array_grow(void* array, size_t old_size, size_t size) noexcept nogil
cdef void array_free(void* array, size_t size) noexcept nogil
# What lies between two addresses of an array is in use from end to end.
cdef void array_filled(void* start, void* end) noexcept nogil
# Gives back the whole pages between two addresses of an array; what is there is lost.
cdef void array_discard(void* start, void* end) noexcept nogil
