"""Reading a log without copying: large values as windows of the mapping that they lie in.

Whose header validates and whose body was looked at once since its segment was mapped is what was
written: nothing writes there again. So a view costs no more than finding the record.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from fastmem._core.keys cimport encode
from fastmem._core.layout cimport (
    FM_ALIGNED, FM_BODY_ALIGNMENT, FM_COMPRESSED, FM_POINTER, FM_VALUE, fm_pointer, fm_record,
)
from fastmem._core.lookup cimport digest_of, mark_touched
from fastmem._core.mapping cimport Mapping
from fastmem._core.reading cimport LogReader, Record, read_record
from fastmem._core.record cimport body_bytes, body_offset, body_valid
from fastmem._core.windows cimport Window, covers, window_over
from fastmem._core.tiers cimport place_t

cdef extern from "Python.h":
    object PyMemoryView_FromObject(object exporter)

cdef enum:
    RECENT = 64


@cython.final
cdef class MappedFile:
    """A value file that is mapped and verified, and where in it the value lies."""

    cdef readonly Mapping mapping
    cdef readonly uint64_t start
    cdef readonly uint64_t length
    cdef readonly bytes body   # of the record that led to it
    cdef public uint64_t word  # of the record whose MAC was verified

    def __cinit__(
        self, Mapping mapping not None, uint64_t start, uint64_t length, bytes body not None
    ):
        self.mapping = mapping
        self.start = start
        self.length = length
        self.body = body

    def window(self):
        """Return the value, None when the mapping was closed meanwhile."""
        cdef const char* base = self.mapping.base
        if not covers(self.mapping, base + self.start):
            return None
        return window_over(self.mapping, base + self.start, self.length)


cdef class Viewer:
    """Reads of one log. Arrays of at least `least` bytes come as windows.

    `raw` and `array` are the codecs of bytes that stand for themselves, and of arrays; `shown` has
    what begins an array's body -> (numpy's type, dtype, shape, order, where the elements begin, and
    end). `files` are the value files mapped, by number, of the warm and the cold tier.
    `keyed`: the store has a secret key, so only who verified a record's MAC may vouch for its body.
    """

    cdef LogReader log
    cdef list recent  # mappings that were found last, by the low bits of their numbers
    cdef dict shown
    cdef dict warm_files
    cdef dict cold_files
    cdef uint64_t least
    cdef uint16_t raw
    cdef uint16_t array
    cdef bint keyed

    def __cinit__(
        self, LogReader log not None, uint64_t least, uint16_t raw, uint16_t array,
        dict shown not None, tuple files not None, bint keyed,
    ):
        self.log = log
        self.least = least
        self.raw = raw
        self.array = array
        self.recent = [None] * RECENT
        self.shown = shown
        self.warm_files, self.cold_files = files
        self.keyed = keyed

    def get(self, bytes key not None):
        """As LogReader.get(), but of a value that lies in a segment, aligned, and has buffers in it
        to build arrays on, `window` is the value and `body` None.

        In a keyed store `body` is the MAC until the window is vouched for.
        """
        return self.read(key, self.least, True)

    def peek(self, bytes key not None):
        """As get(), but the key does not count as read."""
        return self.read(key, self.least, False)

    def view(self, bytes key not None):
        """As get(), for any value that lies in a segment as it was encoded."""
        return self.read(key, 0, True)

    def load(self, bytes key not None):
        """The array that is the value of a key, if it can be made here; else what get() returns."""
        cdef uint64_t digest = self.digest(key)
        cdef place_t place
        cdef Record record
        cdef Window window
        cdef uint64_t word = self.find(key, digest, &place)
        if word == 0:
            return None
        if place.record.codec != self.array:
            return self.read_at(key, digest, word, &place, self.least, True)
        if place.record.kind == FM_POINTER or place.record.vlen >= self.least:
            window = self.ready(word, &place)
            made = None if window is None else self.array_on(window, window.start, window.size)
            if made is not None:
                mark_touched(&self.log.state, digest)
                return made
            return self.read(key, self.least, True)
        record = self.read_at(key, digest, word, &place, self.least, True)
        if record is None or record.body is None or self.keyed or record.mac_key:
            return record
        if record.kind != FM_VALUE or record.flags & FM_COMPRESSED:
            return record
        made = self.array_on(
            record.body, PyBytes_AS_STRING(record.body), PyBytes_GET_SIZE(record.body)
        )
        return record if made is None else made

    cdef object array_on(self, object body, const char* start, Py_ssize_t size):
        """The array of a sound body, on its memory; None if the header is one not met before."""
        cdef tuple shown = self.shown_by(start, size)
        if shown is None:
            return None
        make, dtype, shape, order, offset, _end = shown
        if order == "C":  # as it is without a word
            return make(shape, dtype, body, offset)
        return make(shape, dtype, body, offset, None, order)

    cdef tuple shown_by(self, const char* start, Py_ssize_t size):
        if size < FM_BODY_ALIGNMENT:
            return None
        cdef tuple shown = self.shown.get(PyBytes_FromStringAndSize(start, FM_BODY_ALIGNMENT))
        return shown if shown is not None and shown[5] == size else None

    def memory(self, key):
        """A memoryview of the bytes, or of the elements of the array, that are the value of a key
        (not encoded yet), if it can be made here; else None.
        """
        cdef bytes encoded = encode(key)
        cdef uint64_t digest = self.digest(encoded)
        cdef place_t place
        cdef Window window
        cdef uint64_t word = self.find(encoded, digest, &place)
        cdef uint16_t codec
        cdef tuple shown
        if word == 0:
            return None
        codec = place.record.codec
        if codec != self.raw and codec != self.array:
            return None
        window = self.ready(word, &place)
        if window is None:
            return None
        if codec == self.array:  # its elements
            shown = self.shown_by(window.start, window.size)
            if shown is None:
                return None
            window = window.part(shown[4], shown[5] - shown[4])
        mark_touched(&self.log.state, digest)
        return PyMemoryView_FromObject(window)

    cdef uint64_t digest(self, bytes key) noexcept:
        return digest_of(&self.log.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef Window ready(self, uint64_t word, const place_t* place):
        """The value at a place, if it is as it was encoded and found to be sound; else None."""
        cdef Window window
        if place.record.kind == FM_POINTER:
            return self.in_file(word, place)
        if not lies_whole(place.record):
            return None
        window = self.window_at(place)
        if window is None or window.is_vouched():
            return window
        if self.keyed or not body_valid(place.record, place.at):
            return None
        window.vouch()
        return window

    cdef Window in_file(self, uint64_t word, const place_t* place):
        """The value that a pointer leads to, if its file is mapped and it was verified."""
        cdef const char* body = <const char*>place.record + body_offset(place.record, place.at)
        cdef dict files = self.cold_files if place.tier.bit else self.warm_files
        cdef MappedFile mapped
        if place.record.flags & FM_COMPRESSED or not body_valid(place.record, place.at):
            return None
        if body_bytes(place.record) < sizeof(fm_pointer):
            return None
        pointer = PyBytes_FromStringAndSize(body, body_bytes(place.record))
        mapped = files.get((<const fm_pointer*>body).id)
        if mapped is None or mapped.body != pointer or (self.keyed and mapped.word != word):
            return None
        return mapped.window()

    cdef uint64_t find(self, bytes key, uint64_t digest, place_t* place) except? 1:
        return self.log.live_word(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), digest, place)

    cdef Record read(self, bytes key, uint64_t least, bint mark):
        cdef uint64_t digest = self.digest(key)
        cdef place_t place
        cdef uint64_t word = self.find(key, digest, &place)
        if word == 0:
            return None
        return self.read_at(key, digest, word, &place, least, mark)

    cdef Record read_at(
        self, bytes key, uint64_t digest, uint64_t word, place_t* place, uint64_t least, bint mark
    ):
        """The record at a place where it was found just now, nothing having run since."""
        cdef Record record
        cdef Window window = None
        if has_buffers(place, least) if least else lies_whole(place.record):
            window = self.window_at(place)
            if window is None:  # its segment went just now, so it lies elsewhere
                word = self.find(key, digest, place)
                if word == 0:
                    return None
        if window is None:
            record = read_record(word, place, True)
        else:
            record = self.read_window(word, place, window)
        if record is None or (record.window is None and record.body is None):
            self.log.note_corrupt(word)
            return None
        if mark:
            record.read_before = mark_touched(&self.log.state, digest)
        return record

    cdef Window window_at(self, const place_t* place):
        """The value at a place, which stays mapped from here on; None when its segment went."""
        cdef const char* start = <const char*>place.record
        cdef uint64_t number = place.at >> place.tier.shift
        cdef Py_ssize_t slot = number & (RECENT - 1)
        cdef Mapping mapping = self.recent[slot]
        if mapping is None or not covers(mapping, start):
            # Making the key may run a collection, and that any finalizer: until the mapping is
            # found to be there still, nothing is read at the place.
            mapping = self.log.maps.get((1 if place.tier.bit else 0, number))
            if mapping is None or not covers(mapping, start):
                return None
            self.recent[slot] = mapping
        return window_over(mapping, start + body_offset(place.record, place.at), place.record.vlen)

    cdef Record read_window(self, uint64_t word, const place_t* place, Window window):
        """The record of a window; None when its body is damaged."""
        cdef Record record
        if not (window.is_vouched() or body_valid(place.record, place.at)):
            return None
        record = read_record(word, place, False)
        record.window = window
        if not window.is_vouched():
            if self.keyed:
                record.body = PyBytes_FromStringAndSize(
                    window.start + window.size, body_bytes(place.record) - window.size
                )
            else:
                window.vouch()
        return record


cdef bint lies_whole(const fm_record* record) noexcept nogil:
    """True when the body is the value as it was encoded."""
    return record.kind == FM_VALUE and not record.flags & FM_COMPRESSED


cdef bint has_buffers(const place_t* place, uint64_t least) noexcept nogil:
    """True for an array, and for a pickle with buffers beside it. Both begin with a number: of the
    bytes of the array's header, and of the buffers.
    """
    cdef const fm_record* record = place.record
    return (
        record.flags & FM_ALIGNED != 0 and record.vlen >= least and lies_whole(record)
        and (<const uint32_t*>(<const char*>record + body_offset(record, place.at)))[0] != 0
    )
