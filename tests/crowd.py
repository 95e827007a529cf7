"""Threads that start together and are waited for, and keys that let them meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Key:
    """Compared by Python code, so that threads switch inside lookups."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.number == other.number


def together(bodies: Iterable[Callable[[], object]], timeout_s: float = 120) -> list[BaseException]:
    """Run each body in a thread of its own; return what they raised, first come first."""
    bodies = list(bodies)
    begin = threading.Barrier(len(bodies))
    failures: list[BaseException] = []

    def guarded(body: Callable[[], object]) -> None:
        begin.wait()
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - the caller looks at every one of them
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return failures
