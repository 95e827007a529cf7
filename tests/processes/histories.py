"""Whether what processes did with one key has an order that explains all they saw (Wing and Gong,
"Testing and verifying concurrent objects", 1993): each operation at one moment between its call and
its return.
"""

from __future__ import annotations

from typing import NamedTuple

Value = str | None


class Call(NamedTuple):
    """One operation on a key, by a clock that all processes share."""

    began: int
    ended: int
    verb: str  # put, get, delete
    value: Value  # put, or found by get; of delete "there" or None


def after(call: Call, held: Value) -> tuple[bool, Value]:
    """(whether a call fits a key that holds this, what it holds then)."""
    if call.verb == "put":
        return True, call.value
    if call.verb == "get":
        return call.value == held, held
    return (call.value is None) == (held is None), None


def is_linearizable(calls: list[Call], held: Value = None) -> bool:
    """True when some order explains the calls. The search remembers where it has been."""
    calls = sorted(calls)
    seen: set[tuple[int, frozenset[int], Value]] = set()
    # (all before it are placed, those placed behind that, what the key holds)
    stack: list[tuple[int, frozenset[int], Value]] = [(0, frozenset(), held)]
    while stack:
        first, placed, value = state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        while first in placed:
            placed, first = placed - {first}, first + 1
        if first == len(calls):
            return True
        until = earliest_end(calls, first, placed)  # what comes next has begun by then
        for at in range(first, len(calls)):
            if calls[at].began > until:
                break
            if at in placed:
                continue
            fits, then = after(calls[at], value)
            if fits:
                stack.append((first, placed | {at}, then))
    return False


def earliest_end(calls: list[Call], first: int, placed: frozenset[int]) -> int:
    """The first end of the calls that are not placed, of which `first` is one."""
    end = calls[first].ended
    for at in range(first + 1, len(calls)):
        if calls[at].began > end:
            break
        if at not in placed:
            end = min(end, calls[at].ended)
    return end
