"""What each key may be found with after a power loss, by what was put and what was synced."""

from __future__ import annotations

from collections.abc import Iterable


class Model:
    """For each key the number that it has, and those that it may be found with after an outage, the
    oldest first. None is a key that is not there.
    """

    def __init__(self) -> None:
        self.now: dict[str, int | None] = {}
        self.possible: dict[str, list[int | None]] = {}

    def begin(self, key: str, number: int | None) -> None:
        """A call is about to write this: from here on it may be found."""
        self.possible.setdefault(key, [None]).append(number)

    def end(self, key: str, number: int | None, *, written: bool = True) -> None:
        """The call has returned. A delete of what is not there writes nothing."""
        if written:
            self.now[key] = number
        else:
            self.possible[key].pop()

    def settle(self, keys: Iterable[str] | None = None) -> None:
        """All that returned is synced, or all that was done with some keys."""
        for key in self.possible if keys is None else keys:
            del self.possible[key][:-1]

    def after_an_outage(self) -> dict[str, list[int | None]]:
        return {key: list(numbers) for key, numbers in self.possible.items()}
