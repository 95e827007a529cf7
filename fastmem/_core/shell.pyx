"""`Shell`: iteration, views, comparison, `with`, and what else a mapping shows of itself."""

from collections.abc import Mapping
from types import GenericAlias

from fastmem._core.views cimport KEYS, iterate

from fastmem._core.views import CacheItems, CacheKeys, CacheValues


cdef class Shell(Announcer):
    """The parts of a mapping that are made of other parts."""

    __reversed__ = None  # or `reversed` would ask for the keys 0, 1, 2

    def __iter__(self):
        self.require_open()
        return iterate(self, &self.table, KEYS)

    def _iterate(self, int kind):
        """For the views: keys, values or items."""
        self.require_open()
        return iterate(self, &self.table, kind)

    def keys(self):
        """A set-like view of the keys, from the next victim to the most recent.

        Iterators never raise for changes made meanwhile: they go through the keys present at their
        start (8 bytes each) and skip those that have gone. They change no recency.
        """
        return CacheKeys(self)

    def values(self):
        """A view of the values, in the order of ``keys()``."""
        return CacheValues(self)

    def items(self):
        """A view of ``(key, value)`` pairs, in the order of ``keys()``."""
        return CacheItems(self)

    def __len__(self):
        self.require_open()
        return self.table.live

    def __contains__(self, key):
        return self.find_live(key) != 0

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    def update(self, other=(), /, **more):
        """Stores every pair of a mapping or of an iterable of pairs, then the keywords.

        Each pair as ``put`` does, in a step of its own: what ends it early leaves those before
        stored. ``put_many`` looks at all of them first.
        """
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            other = [(key, other[key]) for key in other.keys()]
        for key, value in other:
            self[key] = value
        for key, value in more.items():
            self[key] = value

    @property
    def budget_bytes(self):
        """The most that ``used_bytes`` may be."""
        return self.budget

    @property
    def used_bytes(self):
        """Bytes of all keys and values, and 80 for each entry, 104 under ``"s3fifo"``."""
        return self.table.used_bytes

    @property
    def closed(self):
        """Whether ``close()`` was called."""
        return self.closed_

    def close(self):
        """Removes everything; later uses raise ``ClosedError``. Closing again does nothing."""
        if not self.closed_:
            self.closed_ = True
            self.empty()

    def __enter__(self):
        self.require_open()
        return self

    def __exit__(self, *_):
        self.close()

    @classmethod
    def __class_getitem__(cls, types):
        """``L1Cache[str, int]``, for annotations."""
        return GenericAlias(cls, types)

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.closed_:
            return f"<{name} closed>"
        return (
            f"<{name} {self.table.live:,} entries, "
            f"{self.table.used_bytes:,} of {self.budget:,} bytes>"
        )
