"""`ManyVerbs`: many keys of a store in one call."""

from itertools import islice

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t

from fastmem._core cimport needs
from fastmem._core.appending cimport draft_t, put_warm
from fastmem._core.clock cimport deadline_after, ttl_ns
from fastmem._core.direct cimport aim, ask_for_records, draft_value, fetch, met_t
from fastmem._core.layout cimport FM_INLINE_LIMIT
from fastmem._core.lookup cimport log_t
from fastmem._core.plain cimport body_bytes, body_in, body_t, is_plain
from fastmem._core.sizing cimport size_and_form
from fastmem._core.keys cimport encode
from fastmem._core.spans cimport span_in, span_t
from fastmem._core.verbs cimport StoreVerbs

from fastmem._core.bulk import keys_of, name_pair, pairs_of
from fastmem._core.cache import MISSING
from fastmem._core.log import LogNeeds

cdef enum:
    MOST = 64                 # keys asked for at once, records appended in one lock hold
    MOST_BYTES = 256 * 1024   # of values in one lock hold

cdef object MISS = MISSING

ctypedef struct run_t:        # records that are appended in one lock hold
    draft_t first             # what the step is given: the run begins with it
    draft_t[MOST] drafts
    int count
    int done


cdef int put_run(log_t* log, draft_t* draft) noexcept nogil:
    """Take the step of each draft that is not done yet. DONE when one was done: what the next needs
    is asked for by the next call.
    """
    cdef run_t* run = <run_t*>draft
    cdef int begun = run.done
    cdef int outcome
    # Each may note a freed value file: there is room for one, or more.
    while run.done < run.count and log.freed_count < log.freed_room:
        outcome = put_warm(log, &run.drafts[run.done])
        if outcome != needs.DONE:
            return needs.DONE if run.done > begun else outcome
        log.index.changing = False  # that one is whole, whatever becomes of the next
        run.done += 1
    return needs.DONE


cdef class ManyVerbs(StoreVerbs):
    """The verbs of many keys. The subclass provides ``_require_writable()`` and, which is asked for
    a large value, ``_require_fits(size)``.
    """

    def get_many(self, keys, /):
        """A dict of those of `keys` that are there, each found as by ``get``. O(keys).

        A miss is a key that the dict lacks; a stored ``None`` is in it. Of 64 keys at a time, all
        that reading them waits for is asked for first: over more entries than the processor's
        caches hold that takes half the time of as many gets. ``TypeError`` for a str or bytes in
        place of the iterable; a value that does not decode is the SerializationError of ``get``.

        >>> import tempfile
        >>> from fastmem import SegmentStore
        >>> with SegmentStore(tempfile.mkdtemp(), budget_bytes=16 << 20) as store:
        ...     store.put_many({"a": 1, "b": None})
        ...     store.get_many(["a", "b", "c"])
        {'a': 1, 'b': None}
        """
        cdef dict found = {}
        drawn = iter(keys_of(keys))
        while some := list(islice(drawn, MOST)):
            self.read_some(some, found)
            with nogil:
                pass  # other threads' turn
        return found

    cdef int read_some(self, list keys, dict found) except -1:
        """Put the values of at most MOST keys into `found`."""
        cdef span_t span
        cdef met_t met
        cdef uint64_t[MOST] digests
        cdef Py_ssize_t i
        cdef list holders = []
        if not self.reads:
            for key in keys:
                value = self.read(key)
                if value is not MISS:
                    found[key] = value
            return 0
        for key in keys:
            holders.append(encode(key))
        for i in range(len(holders)):
            span_in(<bytes>holders[i], &span)
            aim(self.log, &span)
            digests[i] = span.digest
        ask_for_records(self.log, digests, len(holders))
        for i in range(len(holders)):
            span_in(<bytes>holders[i], &span)
            span.digest = digests[i]
            value = fetch(self.log, self.codec, &span, &met)
            value = self.counted(value, <bytes>holders[i], &span)
            if value is not MISS:
                found[keys[i]] = value
        return 0

    def put_many(self, pairs, /, ttl_seconds=None):
        """Store every pair of a mapping or of an iterable of pairs as ``put`` does. O(pairs).

        All pairs are drawn, measured and encoded before the first is stored: what that raises,
        ValueTooLargeError included, leaves everything as it was, and a note on the exception names
        the pair. Then they are stored in their order, each wholly or not at all, up to 64 in one
        hold of the write lock; an OSError or an interrupt ends that early, and a note says how many
        pairs are stored.
        """
        cdef int64_t deadline_ns, ttl = ttl_ns(ttl_seconds)
        cdef Py_ssize_t stored = 0
        cdef list coded = []
        self._require_writable()
        for key, value in pairs_of(pairs):
            try:
                coded.append(self.coded(key, value))
            except Exception as error:
                name_pair(error, len(coded) + 1, key)
                raise
        deadline_ns = deadline_after(ttl)
        try:
            while stored < len(coded):
                self.write_some(coded, &stored, deadline_ns)
                PyErr_CheckSignals()
                with nogil:
                    pass  # other threads' turn
        except BaseException as error:
            error.add_note(f"put_many stored {stored} of {len(coded)} pairs")
            raise

    cdef tuple coded(self, object key, object value):
        """(encoded key, codec, what holds the body) of a pair that fits."""
        cdef body_t body
        cdef int form = 0
        encoded = encode(key)
        size_and_form(value, &form)
        holder = self.codec.body_of(value, form, &body)
        if holder is None:
            codec_id, holder = self.codec.encode(value, form)
            body_in(holder, codec_id, &body)
        if body.size > FM_INLINE_LIMIT:
            self._require_fits(body.size)
        return encoded, body.codec, holder

    cdef int write_some(self, list coded, Py_ssize_t* stored, int64_t deadline_ns) except -1:
        """Store pairs from number `stored` on, which goes up with each: what one lock hold takes,
        or one that is more than a plain value in one record.
        """
        cdef run_t run
        cdef span_t span
        cdef body_t body
        cdef Py_ssize_t at = stored[0], length = 0
        run.count = run.done = 0
        while at < len(coded) and run.count < MOST and length < MOST_BYTES:
            encoded, codec_id, holder = <tuple>coded[at]
            body_in(holder, codec_id, &body)
            if not self.writes or not is_plain(codec_id) or body.size > FM_INLINE_LIMIT:
                break
            span_in(<bytes>encoded, &span)
            aim(self.log, &span)
            draft_value(self.log, &run.drafts[run.count], &span, &body, deadline_ns)
            length += body.size
            run.count += 1
            at += 1
        if run.count == 0:
            self._write_through(encoded, codec_id, body_bytes(holder, &body), deadline_ns)
            stored[0] += 1
            return 0
        while run.done < run.count:
            self.take_run(&run, stored)
        return 0

    cdef int take_run(self, run_t* run, Py_ssize_t* stored) except -1:
        """Hold the lock once, or get what has to be there first."""
        cdef int before = run.done
        try:
            self.log.take(put_run, &run.first)
        except LogNeeds as missing:
            self.provide(missing.what)
        finally:
            stored[0] += run.done - before
        if self.log.state.chores or self.log.state.freed_count:
            self.settle()
        return 0

    def delete_many(self, keys, /):
        """Remove every one of `keys`, each in one step. Return how many were there. O(keys).

        All keys are drawn and encoded before the first is removed; ``TypeError`` for a str or bytes
        in place of the iterable.
        """
        cdef Py_ssize_t count = 0
        cdef list wanted = list(keys_of(keys))
        for key in wanted:
            encode(key)
        for key in wanted:
            count += self.erase(key)
        return count
