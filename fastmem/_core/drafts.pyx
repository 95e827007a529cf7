"""`Draft`; drafts.pxd tells of its fields, FORMAT.md of their meaning.

A class of its own rather than the arguments in a tuple: as cheap as one positional call, where the
tuple is spread over the arguments of a second one.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t


@cython.final
@cython.freelist(8)
@cython.auto_pickle(False)
cdef class Draft:
    """What a record will hold. Nothing of it is checked before it goes into a log."""

    def __cinit__(
        self, bytes body not None, int codec, int64_t deadline_ns, uint64_t written_ms, int kind,
        int flags=0, int mac_key=0, uint32_t dictionary=0, uint32_t raw_len=0,
        uint32_t archived_s=0,
    ):
        self.body = body
        self.codec = codec
        self.deadline_ns = deadline_ns
        self.written_ms = written_ms
        self.kind = kind
        self.flags = flags
        self.mac_key = mac_key
        self.dictionary = dictionary
        self.raw_len = raw_len
        self.archived_s = archived_s
