"""What a memory promises, as a plain dict with two sets: the oracle of the law machine."""

from __future__ import annotations

from typing import Any

ABSENT = object()


class Model:
    """key -> value. `dirty` keys may be lost in a crash (never older: missing); `aged` ones have a
    deadline that passed."""

    def __init__(self, write_back: bool) -> None:
        self.write_back = write_back
        self.values: dict[Any, Any] = {}
        self.timed: dict[Any, float] = {}  # key -> deadline in seconds of time.time()
        self.maybe: set[Any] = set()  # put since the last flush, so perhaps only in L1

    def put(self, key: Any, value: Any, deadline: float | None = None) -> None:
        self.values[key] = value
        self.timed.pop(key, None)
        if deadline is not None:
            self.timed[key] = deadline
        if self.write_back:
            self.maybe.add(key)

    def drop(self, key: Any) -> Any:
        self.timed.pop(key, None)
        self.maybe.discard(key)
        return self.values.pop(key, ABSENT)

    def get(self, key: Any) -> Any:
        return self.values.get(key, ABSENT)

    def clear(self) -> None:
        self.values.clear()
        self.timed.clear()
        self.maybe.clear()

    def flush(self) -> None:
        self.maybe.clear()

    def crash(self, survivors: set[Any]) -> None:
        """Keys that only L1 may have held are as the survivors say; others must be there."""
        for key in [key for key in self.maybe if key not in survivors]:
            self.drop(key)
        self.maybe.clear()


def same(found: Any, expected: Any) -> bool:
    """Equal and of the same type, so that 1, 1.0 and True differ; arrays by content."""
    if type(found) is not type(expected):
        return False
    if type(found).__module__ == "numpy":
        return bool(found.dtype == expected.dtype and found.tobytes() == expected.tobytes())
    if isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in found)
    return bool(found == expected)
