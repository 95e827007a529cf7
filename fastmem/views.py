"""Views of a mapping whose entries may go, expire or prove damaged while they are iterated."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any, Protocol

__all__ = ["PresentItems", "PresentValues"]

_ABSENT = object()


class Peekable(Protocol):
    """What the views are of: a mapping that can be looked at without moving anything."""

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def peek(self, key: Any, default: Any = None) -> Any: ...


class PresentItems(ItemsView[Any, Any]):
    """The pairs of key and value that can be read. What cannot be is passed over, as `get` would
    give its default for it; bytes that do not become a value raise as `get` does.
    """

    _mapping: Any  # a Peekable

    def __init__(self, mapping: Peekable) -> None:
        self._mapping = mapping

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for key in self._mapping:
            value = self._mapping.peek(key, _ABSENT)
            if value is not _ABSENT:
                yield key, value

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        held = self._mapping.peek(item[0], _ABSENT)
        return held is not _ABSENT and bool(held is item[1] or held == item[1])


class PresentValues(ValuesView[Any]):
    """The values of `PresentItems`."""

    _mapping: Any  # a Peekable

    def __init__(self, mapping: Peekable) -> None:
        self._mapping = mapping

    def __iter__(self) -> Iterator[Any]:
        return (value for _key, value in PresentItems(self._mapping))

    def __contains__(self, value: object) -> bool:
        return any(held is value or held == value for held in self)
