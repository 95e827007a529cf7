"""Which objects are tier keys: exact str, bytes, int, and tuples of these."""

cdef enum:
    BYTES_LIMIT = 65536       # an encoded key
    DEPTH_LIMIT = 100         # tuples in tuples
    ITEM_BYTES = 3            # the least an item of a tuple takes encoded: length and tag

# Raises KeyTypeError naming the place of anything else, and ValueTooLargeError for more items than
# an encoded key has room for. Content is not looked at: a key may still be too long to encode.
cdef int require_exact(object key) except -1
