"""What fastmem asks of objects that its users supply."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Serializer"]


@runtime_checkable
class Serializer(Protocol):
    """Turns every value into bytes and back, in place of fastmem's own codecs.

    Both methods are called from any thread, without a lock held, and may raise: the caller gets a
    `SerializationError` with the exception as its cause. What `loads` returns belongs to the
    caller, so it must be a new object at each call if it is mutable.
    """

    def dumps(self, value: object, /) -> bytes:
        """The bytes of a value."""
        ...

    def loads(self, data: bytes, /) -> object:
        """The value of bytes that `dumps` returned, here or in an earlier process."""
        ...
