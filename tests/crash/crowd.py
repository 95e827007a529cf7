"""One of several writers of one store, to be killed: an endless seeded course, each acknowledged.

    python crowd.py KIND DIRECTORY SEED NAME SESSION

It acknowledges as writer.py does. The keys that begin with its name are its own: after every step
it reads one of them back. The others it shares with the rest of the crowd.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

from tests.crash.writer import OPENERS, Operation, apply, expected

OWN_KEYS, SHARED_KEYS = 40, 8


def operation(kind: str, seed: int, name: str, session: int, number: int) -> Operation:
    """The course. Segments alone must not evict, or a miss could be either: few bytes are put."""
    draw = random.Random(f"{seed} {name} {session} {number}")
    shared = draw.random() < 0.2
    key = f"all-{draw.randrange(SHARED_KEYS)}" if shared else f"{name}-{draw.randrange(OWN_KEYS)}"
    verb = draw.choices(["put", "expire", "delete"], [80, 4, 16])[0]
    most = 60_000 if kind == "tiers" else 15_000
    size = draw.choices([20, 2_000, most], [40, 50, 10])[0]
    if draw.random() < 0.02:
        key, size = f"{name}-large", 300_000
    text = f"{name} {session} {number} "
    return Operation(verb, key, text + "x" * draw.randint(size // 2, size))


def main(kind: str, directory: str, seed: int, name: str, session: int) -> None:
    at = Path(directory)
    acks = os.open(at / f"acks.{name}.{session}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    state: dict[str, Any] = {}
    with OPENERS[kind](at) as store:
        os.write(acks, b"0\n")
        number = 0
        while True:
            number += 1
            step = operation(kind, seed, name, session, number)
            os.write(acks, b"%d\n" % number)
            apply(store, step)
            os.write(acks, b"-%d\n" % number)
            if step.verb == "expire":  # seen for a tick of the clock, perhaps
                state.pop(step.key, None)
            elif step.key.startswith(name):
                state[step.key] = expected(step)
            key = random.choice([step.key, *state])
            if key in state and (found := store.get(key)) != state[key]:
                raise AssertionError(
                    f"{key}: {found!r:.60}, not {state[key]!r:.60}; {store.stats()}"
                )


def replay(
    kind: str, at: Path, seed: int, name: str, session: int
) -> tuple[list[Operation], Operation | None]:
    """The acknowledged operations of a session, and the one that was begun and was not."""
    begun = done = 0
    for line in (at / f"acks.{name}.{session}").read_text().splitlines():
        number = int(line)
        if number < 0:
            done = -number
        else:
            begun = number
    steps = [operation(kind, seed, name, session, number) for number in range(1, done + 1)]
    return steps, operation(kind, seed, name, session, begun) if begun != done else None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
