"""A writer to be killed: applies an endless seeded course of operations, acknowledging each.

    python writer.py KIND DIRECTORY SEED SESSION

Before an operation its number goes to the acknowledgement file, after it the number's negative; a
single `os.write` each, so a kill leaves whole lines but for the last. `replay` computes from those
lines what the store must hold. Operations depend on (seed, session, number) alone.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.crash.directories import Opener, open_segments, open_tiers

KEYS = 150
OPENERS: dict[str, Opener] = {"segments": open_segments, "tiers": open_tiers}


class Operation(NamedTuple):
    verb: str  # put, expire, delete
    key: str
    value: bytes | str


def operation(kind: str, seed: int, session: int, number: int) -> Operation:
    """The course. Segments alone must not evict, or a miss could be either: few bytes are put."""
    draw = random.Random(f"{seed} {session} {number}")
    key = f"key-{draw.randrange(KEYS)}"
    verb = draw.choices(["put", "expire", "delete"], [80, 5, 15])[0]
    if kind == "tiers":
        size = draw.choices([20, 2_000, 60_000, 300_000], [30, 40, 20, 10])[0]
    else:
        # 150 keys of at most 27 KB are live: a quarter of the budget, so none is ever evicted.
        size = draw.choices([20, 2_000, 27_000], [50, 40, 10])[0]
        if draw.random() < 0.03:
            key, size = f"large-{draw.randrange(3)}", 300_000
    size = draw.randint(size // 2, size)
    if draw.random() < 0.5:
        return Operation(verb, key, f"{session}.{number} " + "text " * (size // 5))
    return Operation(verb, key, draw.randbytes(size))


def apply(store: Any, step: Operation) -> None:
    if step.verb == "put":
        store.put(step.key, step.value)
    elif step.verb == "expire":
        store.put(step.key, step.value, ttl_seconds=1e-9)
    else:
        store.delete(step.key)


def expected(step: Operation) -> bytes | str | None:
    return step.value if step.verb == "put" else None


def main(kind: str, directory: str, seed: int, session: int) -> None:
    at = Path(directory)
    acks = os.open(at / f"acks.{session}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with OPENERS[kind](at) as store:
        os.write(acks, f"open {store_rebuilt(store):d}\n".encode())
        number = 0
        while True:
            number += 1
            step = operation(kind, seed, session, number)
            os.write(acks, b"%d\n" % number)
            apply(store, step)
            if kind == "tiers" and number % 7 == 0:
                store.get(f"key-{number % KEYS}")  # promotion moves records too
            os.write(acks, b"-%d\n" % number)


def store_rebuilt(store: Any) -> bool:
    stats = store.stats()
    return bool(stats.get("l2", stats)["rebuilt"])


def replay(kind: str, at: Path, seed: int, session: int, state: dict[str, Any]) -> Operation | None:
    """Bring `state` (key -> value or None) to the last acknowledged operation of a session.

    Return the operation that was begun and not acknowledged, None when there is none.
    """
    begun = done = 0
    for line in (at / f"acks.{session}").read_text().splitlines():
        if line.startswith("open"):
            continue
        number = int(line)
        if number < 0:
            done = -number
            step = operation(kind, seed, session, done)
            state[step.key] = expected(step)
        else:
            begun = number
    return operation(kind, seed, session, begun) if begun != done else None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
