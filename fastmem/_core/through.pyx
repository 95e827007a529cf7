"""`Through`: plain values on their way between L1 and the warm log, in one compiled step.

The subclass provides the rest as methods: ``_load(key)`` for a miss, ``_load_resident(key)`` for
one that may not wait, ``_store(key, value, deadline_ns, guard, coded)`` for a put, and
``_forget_dropped()``.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmem._core.appending cimport draft_t, put_warm
from fastmem._core.bulk cimport MOST_FORESEEN
from fastmem._core.cache cimport used
from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.counts cimport Counts
from fastmem._core.direct cimport OTHER, aim, ask_for_records, draft_value, fetch, met_t
from fastmem._core.entries cimport is_shared
from fastmem._core.l1 cimport L1Cache, fastcall, get_wrapper
from fastmem._core.layout cimport FM_INLINE_LIMIT
from fastmem._core.plain cimport PlainCodec, body_in, body_t, is_plain
from fastmem._core.spans cimport bytes_of, span_in, span_of, span_t
from fastmem._core.tiered cimport TieredL1

from fastmem._core.cache import MISSING
from fastmem._core.log import LogNeeds

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        void* ml_meth
    ctypedef struct PyMethodDescrObject:
        PyMethodDef* d_method

cdef object MISS = MISSING


@cython.auto_pickle(False)  # L1Cache refuses it
cdef class Through(TieredL1):
    """What a miss of L1 finds in the warm log, and what a put leaves there."""

    cdef PlainCodec codec
    cdef Counts warm
    cdef Counts cold
    cdef list dropped
    cdef object provide
    cdef object settle
    cdef bint reads
    cdef bint writes

    def _serve(
        self, PlainCodec codec not None, Counts warm not None, Counts cold not None,
        list dropped not None, provide, settle, *, bint reads, bint writes,
    ):
        """Begin. `reads` and `writes` tell whether plain values may take the short way; `dropped`
        has the keys that the last tier let go. The rest is the engine's: see `StoreVerbs`.
        """
        self.codec = codec
        self.warm = warm
        self.cold = cold
        self.dropped = dropped
        self.provide = provide
        self.settle = settle
        self.reads = reads
        self.writes = writes

    # -- reading -------------------------------------------------------------------------------

    def get(self, key, default=None, *, bint resident_only=False):
        """The value of `key`, made most recent, or `default`. A hit in L1 costs about `dict.get`.

        What lies below is read, which waits for what is not in memory while other threads go on,
        and promoted. With `resident_only` it waits for nothing: then a value that is not all in
        memory is `default`, and counts as ``not_resident`` in L2.

        Raises KeyTypeError for what is no key, SerializationError for bytes that do not become a
        value, ClosedError.
        """
        cdef uint32_t index
        if not resident_only:
            return L1Cache.get(self, key, default)
        index = self.find_live(key)
        if index:
            return <object>used(self, index)
        self.require_open()
        self.misses += 1
        found = self._load_resident(key)
        return default if found is MISS else found

    cdef object on_miss(self, object key):
        cdef span_t span
        cdef met_t met
        _holder = span_of(key, &span)
        value = OTHER
        if self.reads:
            aim(self._log, &span)
            value = fetch(self._log, self.codec, &span, &met)
        if value is OTHER:
            return self._load(key)
        if value is MISS:
            self.warm.misses += 1
            self.cold.misses += 1
            return MISS
        self.warm.hits += 1
        if not self.promote(key, value, &met) and is_shared(self):
            self._held(key)  # what another thread has loaded since may be older: drop it
        if self.dropped:
            self._forget_dropped()
        return value

    cdef bint promote(self, object key, object value, const met_t* met) except -1:
        """Hold a value that was read, unless its key was changed since. True when it is held."""
        cdef int64_t size_bytes = self.entry_size(key, value)
        cdef int64_t offset = self._log.state.wall_offset_ns
        cdef int64_t deadline_ns = met.deadline_ns - offset if met.deadline_ns else 0
        if not self._log.is_version(met.home, met.stamp) or not self.hold(
            key, value, size_bytes, deadline_ns, met.written_ms * 1_000_000 - offset,
            met.word, met.home, met.stamp,
        ):
            return False
        self.warm.promotions += 1
        return True

    cdef int foresee(self, list keys) except -1:
        cdef uint64_t[MOST_FORESEEN] digests
        cdef span_t span
        cdef int count = 0
        if not self.reads:
            return 0
        for key in keys:
            if self.find(key) == 0:
                _holder = span_of(key, &span)
                aim(self._log, &span)
                digests[count] = span.digest
                count += 1
        if count:
            self._log.require_open()  # what the keys' lookups ran may have closed it
            ask_for_records(self._log, digests, count)
        return 0

    # -- writing -------------------------------------------------------------------------------

    def put(self, key, value, ttl_seconds=None):
        """Store a value under a key, replacing its value and deadline.

        In "process" and "disk" it is in L2's log when this returns (encoding, two hashes, one
        memcpy; in "disk" also a device write shared with concurrent puts). A value too large for
        one tier goes to the next. KeyTypeError, ValueError (ttl_seconds not above zero),
        SerializationError, ValueTooLargeError, OSError: nothing changed. But in "disk" an OSError
        of the device's own write comes when the value is in its place: it stays, is readable, and
        may not survive power loss; every later change is a StoreError, until the memory is
        reopened.
        """
        self.write(key, value, deadline_after(ttl_ns(ttl_seconds)))

    def __setitem__(self, key, value):
        self.write(key, value, 0)

    cdef int write(self, object key, object value, int64_t deadline_ns) except -1:
        cdef span_t span
        cdef body_t body
        cdef int64_t size_bytes
        cdef int form = 0
        if not self.writes or self._log.closed:
            self._store(key, value, deadline_ns, None)
            return 0
        holder = span_of(key, &span)
        aim(self._log, &span)
        size_bytes = self.measured(key, value, &form)
        owner = self.codec.body_of(value, form, &body)
        if owner is None or body.size > FM_INLINE_LIMIT:
            codec_id, content = self.codec.encode(value, form)
            coded = bytes_of(holder, &span), size_bytes, codec_id, content
            self._store(key, value, deadline_ns, None, coded)
            return 0
        return self.write_body(key, value, size_bytes, deadline_ns, &span, &body)

    def _store_coded(self, key, value, int64_t deadline_ns, tuple coded not None):
        """As ``_store`` of what was encoded, without a guard."""
        cdef span_t span
        cdef body_t body
        encoded, size_bytes, codec_id, content = coded
        body_in(content, codec_id, &body)
        if not self.writes or not is_plain(codec_id) or body.size > FM_INLINE_LIMIT:
            self._store(key, value, deadline_ns, None, coded)
        else:
            span_in(<bytes?>encoded, &span)
            aim(self._log, &span)
            self.write_body(key, value, size_bytes, deadline_ns, &span, &body)

    cdef int write_body(
        self, object key, object value, int64_t size_bytes, int64_t deadline_ns,
        const span_t* span, const body_t* body,
    ) except -1:
        cdef draft_t draft
        draft_value(self._log, &draft, span, body, deadline_ns)
        try:
            while True:
                try:
                    self.commit(key, value, size_bytes, deadline_ns, None, None, put_warm, &draft)
                    break
                except LogNeeds as missing:
                    self.provide(missing.what)
            if self._log.state.chores or self._log.state.freed_count:
                self.settle()
            if self.dropped:
                self._forget_dropped()
        finally:
            if self._listening:
                self.tell(0)
        return 0


# A hit stays L1's own, to the instruction: `get` is entered where L1's is, and calls with keywords,
# which that hands on, come here.
cdef PyMethodDef* of_l1 = (<PyMethodDescrObject*><PyObject*>L1Cache.__dict__["get"]).d_method
cdef PyMethodDef* of_tiers = (<PyMethodDescrObject*><PyObject*>Through.__dict__["get"]).d_method
cdef fastcall l1_wrapper = get_wrapper
cdef fastcall tiers_wrapper = <fastcall>of_tiers.ml_meth


cdef PyObject* get_named(
    PyObject* self, PyObject** arguments, Py_ssize_t count, PyObject* names
) noexcept:
    if isinstance(<object>self, Through):
        return tiers_wrapper(self, arguments, count, names)
    return l1_wrapper(self, arguments, count, names)


(&get_wrapper)[0] = get_named
of_tiers.ml_meth = of_l1.ml_meth
