"""Reading a log without copying: large values as windows of the mapping that they lie in.

Whose header validates and whose body was looked at once since its segment was mapped is what was
written: nothing writes there again. So a view costs no more than finding the record.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from fastmem._core.keys cimport encode
from fastmem._core.layout cimport (
    FM_ALIGNED, FM_BODY_ALIGNMENT, FM_COMPRESSED, FM_POINTER, FM_UNIT, FM_UNIT_SHIFT, FM_VALUE,
    fm_pointer, fm_record,
)
from fastmem._core.looking cimport FOUND, begin_look, body_sound, copy_bytes, copy_t, look_t
from fastmem._core.lookup cimport digest_of, mark_touched
from fastmem._core.mapping cimport Mapping
from fastmem._core.reading cimport LogReader
from fastmem._core.record cimport body_bytes, body_offset, record_units
from fastmem._core.records cimport Record, body_of, record_found
from fastmem._core.residency cimport PAGE_BITS, are_known
from fastmem._core.windows cimport MappedFile, Window, covers, window_over
from fastmem._core.tiers cimport place_t

cdef extern from "Python.h":
    object PyMemoryView_FromObject(object exporter)

cdef enum:
    RECENT = 64


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
        cdef look_t look
        cdef Record record
        cdef Window window
        if not self.find(key, &look):
            return None
        if look.found.head.codec != self.array:
            return self.read_at(key, &look, self.least, True)
        if look.found.head.kind == FM_POINTER or look.found.head.vlen >= self.least:
            window = self.ready(key, &look)
            made = None if window is None else self.array_on(window, window.start, window.size)
            if made is not None:
                mark_touched(&self.log.state, look.digest)
                return made
            return self.read(key, self.least, True)
        record = self.read_at(key, &look, self.least, True)
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
        cdef bytes front = PyBytes_FromStringAndSize(NULL, FM_BODY_ALIGNMENT)
        if not copy_bytes(&self.log.state, PyBytes_AS_STRING(front), start, FM_BODY_ALIGNMENT):
            return None
        cdef tuple shown = self.shown.get(front)
        return shown if shown is not None and shown[5] == size else None

    def memory(self, key):
        """A memoryview of the bytes, or of the elements of the array, that are the value of a key
        (not encoded yet), if it can be made here; else None.
        """
        cdef bytes encoded = encode(key)
        cdef look_t look
        cdef Window window
        cdef uint16_t codec
        cdef tuple shown
        if not self.find(encoded, &look):
            return None
        codec = look.found.head.codec
        if codec != self.raw and codec != self.array:
            return None
        window = self.ready(encoded, &look)
        if window is None:
            return None
        if codec == self.array:  # its elements
            shown = self.shown_by(window.start, window.size)
            if shown is None:
                return None
            window = window.part(shown[4], shown[5] - shown[4])
        mark_touched(&self.log.state, look.digest)
        return PyMemoryView_FromObject(window)

    cdef bint find(self, bytes key, look_t* look) except -1:
        """Look a key up, and copy the head of its record. False when there is none."""
        begin_look(
            look, &self.log.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key),
            digest_of(&self.log.state, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)),
        )
        look.brief = True
        return self.log.find(look) == FOUND

    cdef Window ready(self, bytes key, look_t* look):
        """The value that was found, if it is as it was encoded and found to be sound; else None."""
        cdef const copy_t* found = &look.found
        cdef Window window
        while True:
            if found.head.kind == FM_POINTER:
                return self.in_file(found)
            if not lies_whole(&found.head):
                return None
            window = self.window_at(&found.place, &found.head)
            if window is None or window.is_vouched():
                return window
            if self.keyed:
                return None
            if self.are_there(look, window.mapping.known):
                break
            if not self.find(key, look):
                return None
        if not body_sound(&self.log.state, found):
            return None
        window.vouch()
        return window

    cdef bint are_there(self, look_t* look, const uint64_t* known) except -1:
        """False when pages of a record had to be waited for: everything may have changed."""
        cdef const place_t* place = &look.found.place
        cdef uint64_t offset = (place.at << FM_UNIT_SHIFT) & (place.tier.segment_bytes - 1)
        look.length = record_units(&look.found.head, place.at) * FM_UNIT
        if are_known(known, offset >> PAGE_BITS, (offset + look.length - 1) >> PAGE_BITS):
            return True
        self.log.wake(look, True)
        return False

    cdef Window in_file(self, const copy_t* found):
        """The value that a pointer leads to, if its file is mapped and it was verified."""
        cdef dict files = self.cold_files if found.place.tier.bit else self.warm_files
        cdef MappedFile mapped
        if found.head.flags & FM_COMPRESSED:
            return None
        pointer = body_of(&self.log.state, found)
        if pointer is None or PyBytes_GET_SIZE(pointer) < <Py_ssize_t>sizeof(fm_pointer):
            return None
        mapped = files.get((<const fm_pointer*>PyBytes_AS_STRING(pointer)).id)
        if mapped is None or mapped.body != pointer or (self.keyed and mapped.word != found.word):
            return None
        return mapped.window()

    cdef Record read(self, bytes key, uint64_t least, bint mark):
        cdef look_t look
        if not self.find(key, &look):
            return None
        return self.read_at(key, &look, least, mark)

    cdef Record read_at(self, bytes key, look_t* look, uint64_t least, bint mark):
        """The record that was found just now, nothing having run since."""
        cdef Record record = None
        cdef Window window
        cdef bytes body
        while True:
            window = None
            if self.is_shown(look, least):
                window = self.window_at(&look.found.place, &look.found.head)
                if window is None:  # its segment went just now, so it lies elsewhere
                    least = <uint64_t>-1
                elif window.is_vouched() or self.are_there(look, window.mapping.known):
                    record = self.read_window(key, look, window)
                    break
            elif self.are_there(look, look.found.place.segment.known):
                body = body_of(&self.log.state, &look.found)
                if body is not None:
                    record = record_found(look, key)
                    record.body = body
                break
            if not self.find(key, look):
                return None
        if record is None:
            self.log.note_corrupt(look.found.word)
            return None
        if mark:
            record.read_before = mark_touched(&self.log.state, look.digest)
        return record

    cdef Window window_at(self, const place_t* place, const fm_record* head):
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
        return window_over(mapping, start + body_offset(head, place.at), head.vlen)

    cdef Record read_window(self, bytes key, const look_t* look, Window window):
        """The record of a window; None when its body is damaged."""
        cdef Record record = record_found(look, key)
        cdef uint64_t rest = body_bytes(&look.found.head) - window.size
        record.window = window
        if window.is_vouched():
            return record
        if not body_sound(&self.log.state, &look.found):
            return None
        if not self.keyed:
            window.vouch()
            return record
        record.body = PyBytes_FromStringAndSize(NULL, rest)
        if not copy_bytes(
            &self.log.state, PyBytes_AS_STRING(record.body), window.start + window.size, rest
        ):
            return None
        return record

    cdef bint is_shown(self, look_t* look, uint64_t least) noexcept:
        """True for what is to come as a window: from `least` bytes on an array, and a pickle with
        buffers beside it. Both begin with a number: of the bytes of the array's header, and of the
        buffers. `least` 0: for every value that is as it was encoded.
        """
        cdef const fm_record* head = &look.found.head
        cdef uint32_t number = 0
        if not lies_whole(head) or head.vlen < least:
            return False
        if least == 0:
            return True
        return head.flags & FM_ALIGNED != 0 and copy_bytes(
            &self.log.state, <char*>&number,
            <const char*>look.found.place.record + body_offset(head, look.found.place.at),
            sizeof(number),
        ) and number != 0


cdef bint lies_whole(const fm_record* record) noexcept nogil:
    """True when the body is the value as it was encoded."""
    return record.kind == FM_VALUE and not record.flags & FM_COMPRESSED
