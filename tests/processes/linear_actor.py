"""One of several processes at work on the same few keys, noting each call and what came of it.

    python linear_actor.py KIND DIRECTORY NAME CALLS SEED

Notes go to ``calls.NAME``: a line for each, (key, began, ended, verb, value), times by the
monotonic clock.
Other keys are put in between, so that segments fill, are reclaimed, and the table grows.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from tests.crash.directories import open_segments, open_tiers

KEYS = 3


def main(kind: str, directory: str, name: str, calls: int, seed: int) -> None:
    at, draw = Path(directory), random.Random(f"{seed} {name}")
    notes = []
    with open_segments(at) if kind == "segments" else open_tiers(at, coherent=True) as store:
        print("open", flush=True)
        sys.stdin.readline()
        for number in range(calls):
            key = f"key{draw.randrange(KEYS)}"
            verb = draw.choices(["put", "get", "delete"], [30, 60, 10])[0]
            value: str | None = f"{name}.{number}"
            began = time.monotonic_ns()
            if verb == "put":
                store.put(key, value)
            elif verb == "get":
                value = store.get(key)
            else:
                value = "there" if store.delete(key) else None
            notes.append((key, began, time.monotonic_ns(), verb, value))
            if draw.random() < 0.3:
                store.put((name, draw.randrange(400)), bytes(draw.randrange(4_000)))
    (at / f"calls.{name}").write_text("".join(f"{note!r}\n" for note in notes))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
