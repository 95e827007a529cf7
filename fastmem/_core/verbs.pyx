"""`StoreVerbs`: what a store does with one key, in one compiled step for what most values are.

The subclass provides the rest as methods, which are called for what is more than a plain value in
one record: ``_read_through(encoded)``, ``_write_through(encoded, codec, body, deadline_ns)`` and
``_remove(encoded)``; and ``_get_resident(key)``, for a read that may not wait.
"""

from cpython.bytes cimport PyBytes_CheckExact
from libc.stdint cimport int64_t

from fastmem._core cimport appending, needs
from fastmem._core.appending cimport draft_t, step_t
from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.direct cimport (
    OTHER, aim, draft_tombstone, draft_value, fetch, met_t,
)
from fastmem._core.layout cimport FM_INLINE_LIMIT
from fastmem._core.looking cimport FOUND, begin_look, look_t
from fastmem._core.plain cimport body_t
from fastmem._core.sizing cimport size_and_form
from fastmem._core.spans cimport bytes_of, span_of, span_t

from fastmem._core.cache import MISSING
from fastmem._core.log import LogNeeds

cdef object MISS = MISSING


cdef class StoreVerbs:
    """The verbs of one key. Nothing here runs user code while the log is being changed."""

    def _serve(
        self, Log log not None, PlainCodec codec not None, Counts counts not None, provide, settle,
        *, bint reads, bint writes,
    ):
        """Begin. `reads` and `writes` tell whether plain values may take the short way. `provide`
        and `settle` are the engine's: what an append needs first, and what it leaves to be done.
        """
        self.log = log
        self.codec = codec
        self.counts = counts
        self.provide = provide
        self.settle = settle
        self.reads = reads
        self.writes = writes

    # -- reading -------------------------------------------------------------------------------

    def get(self, key, default=None, *, bint resident_only=False):
        """Return the key's value, `default` when it is absent or expired: a fresh copy, but for the
        arrays of a SegmentStore.

        What is not in memory is waited for, while other threads go on. With `resident_only` it is
        not: then a value that is not all in memory is `default`, and counts as ``not_resident``
        rather than as a miss.

        There a numpy array is read-only, and so are the arrays in a pickled object that have 1 KiB
        or more; ``array.copy()`` is yours to write to. Of a value of 16 KiB or more they are not
        copied either, but lie where it was written, aligned to 64 bytes, with what `get_view` says
        of views. Arrays inside lists, dicts and other plain containers are fresh copies.

        A damaged record is a miss, counted in ``stats()["errors"]`` and logged. Sound bytes that do
        not become a value (a class that is gone, another serializer's) are a SerializationError,
        counted as "undecodable".
        """
        value = self._get_resident(key) if resident_only else self.read(key)
        return default if value is MISS else value

    def __getitem__(self, key):
        value = self.read(key)
        if value is MISS:
            raise KeyError(key)
        return value

    def __contains__(self, key):
        cdef span_t span
        cdef look_t look
        _holder = span_of(key, &span)
        if self.log is None:
            raise RuntimeError("the store was not opened")
        aim(self.log, &span)
        begin_look(&look, &self.log.state, span.data, span.size, span.digest)
        look.bare = True
        return self.log.find(&look) == FOUND

    cdef object read(self, object key):
        """The key's value, or MISSING; counted."""
        cdef span_t span
        cdef met_t met
        holder = span_of(key, &span)
        value = OTHER
        if self.reads:
            aim(self.log, &span)
            value = fetch(self.log, self.codec, &span, &met)
        return self.counted(value, holder, &span)

    cdef object counted(self, object value, bytes holder, const span_t* key):
        if value is OTHER:
            value = self._read_through(bytes_of(holder, key))
        if value is MISS:
            self.counts.misses += 1
        else:
            self.counts.hits += 1
        return value

    # -- writing -------------------------------------------------------------------------------

    def put(self, key, value, ttl_seconds=None):
        """Store a copy of `value`. It replaces the key's value, deadline included.

        One pass to encode, two hashes and one memcpy; in "disk" also a device write shared with
        concurrent puts. KeyTypeError, ValueError (ttl_seconds not above zero), SerializationError,
        ValueTooLargeError or OSError (no space): nothing changed. But in "disk" an OSError of the
        device's own write comes when the value is in its place: it stays, is readable, and may not
        survive power loss; every later change is a StoreError, until the store is reopened.
        """
        self.write(key, value, deadline_after(ttl_ns(ttl_seconds)))

    def __setitem__(self, key, value):
        self.write(key, value, 0)

    cdef int write(self, object key, object value, int64_t deadline_ns) except -1:
        cdef span_t span
        cdef body_t body
        cdef draft_t draft
        cdef int form = 0
        holder = span_of(key, &span)
        if self.writes:
            aim(self.log, &span)
        if not PyBytes_CheckExact(value):
            size_and_form(value, &form)
        owner = self.codec.body_of(value, form, &body) if self.writes else None
        if owner is None or body.size > FM_INLINE_LIMIT:
            codec_id, encoded = self.codec.encode(value, form)
            self._write_through(bytes_of(holder, &span), codec_id, encoded, deadline_ns)
            return 0
        draft_value(self.log, &draft, &span, &body, deadline_ns)
        self.change(appending.put_warm, &draft)
        return 0

    def delete(self, key):
        """Remove the key. True when it was there."""
        return self.erase(key)

    def __delitem__(self, key):
        if not self.erase(key):
            raise KeyError(key)

    cdef bint erase(self, object key) except -1:
        cdef span_t span
        cdef draft_t draft
        holder = span_of(key, &span)
        if not self.writes:
            return self._remove(bytes_of(holder, &span))
        aim(self.log, &span)
        draft_tombstone(self.log, &draft, &span)
        return self.change(appending.erase, &draft)

    cdef bint change(self, step_t step, draft_t* draft) except -1:
        """Take a step and do what it leaves to be done. True when it changed something."""
        cdef int outcome
        while True:
            try:
                outcome = self.log.take(step, draft)
                break
            except LogNeeds as missing:
                self.provide(missing.what)
        if outcome == needs.DONE and (self.log.state.chores or self.log.state.freed_count):
            self.settle()
        return outcome == needs.DONE
