"""The data that every benchmark runs on: named, seeded, the same on every machine.

Rules
-----
1. Append only. Never change what a workload returns: old results would stop being comparable.
   To measure something else, add a new name. ``tests/unit/test_bench_workloads.py`` pins a digest
   of each, so a change fails there.
2. A workload is a function of its length and, where it has one, its size; nothing else. No clock,
   no environment, no file, no ``hash()``; only ``random.Random`` with a seed written here.
3. ``w(n)[:m] == w(m)`` for ``m <= n``: a shorter run sees a prefix of the longer one.
4. Values come as the type a user would store; serialising is the benchmark's business.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES: Final = {"100B": 100, "1KB": 1000, "64KB": 65_536, "1MB": 1 << 20}
"""The byte sizes of the store rows, by the name used in row names."""


# --- keys -----------------------------------------------------------------------------------

_USERS: Final = 900_000


def user_keys(count: int) -> list[str]:
    """Up to 900,000 distinct ``user:NNNNNN``, 11 characters, in an order that is not sorted."""
    if count > _USERS:
        raise ValueError(f"user_keys has {_USERS:,} keys, not {count:,}")
    # 611,953 is prime and so coprime to 900,000: the walk meets every number once.
    return [f"user:{100_000 + i * 611_953 % _USERS}" for i in range(count)]


def other_keys(count: int, start: int = 0) -> list[str]:
    """``user:NNNNNNN`` with seven digits: never among :func:`user_keys`, new for every start."""
    return [f"user:{1_000_000 + i}" for i in range(start, start + count)]


def session_keys(count: int, start: int = 0) -> list[str]:
    """``session:NNNNNNNNNN``, 18 characters, in order: what a session store's keys look like."""
    return [f"session:{i:010d}" for i in range(start, start + count)]


# --- access sequences: indices into a list of ``population`` keys -----------------------------


def uniform(count: int, population: int) -> list[int]:
    """Every index equally likely: bound by memory latency once nothing fits the CPU's caches."""
    pick = random.Random(1001).random
    return [int(pick() * population) for _ in range(count)]


def hot(count: int, population: int, distinct: int = 1000) -> list[int]:
    """Only ``distinct`` of the indices, spread over the population: bound by instructions."""
    step = max(1, population // distinct)
    pick = random.Random(1002).random
    chosen = min(distinct, population)
    return [int(pick() * chosen) * step % population for _ in range(count)]


def zipf(count: int, population: int) -> list[int]:
    """Index ``i`` with probability proportional to ``1 / (i + 1)``: what caches usually meet."""
    weights = list(itertools.accumulate(1.0 / (i + 1) for i in range(population)))
    return random.Random(1003).choices(range(population), cum_weights=weights, k=count)


# --- values -----------------------------------------------------------------------------------


def blob(size: int, index: int) -> bytes:
    """``size`` bytes, incompressible up to 4,096 and that block repeated beyond."""
    block = random.Random(2001 + index).randbytes(min(size, 4096))
    return (block * (size // len(block) + 1))[:size]


def blobs(count: int, size: int) -> list[bytes]:
    """``count`` different values of ``size`` bytes each."""
    return [blob(size, index) for index in range(count)]


def small_dict(index: int) -> dict[str, Any]:
    """A record of about 200 bytes as JSON, such as a row or a small session."""
    pick = random.Random(3001 + index)
    return {
        "id": index,
        "user": f"user-{pick.randrange(100_000):05d}",
        "email": f"someone.{pick.randrange(10**6):06d}@mail.example",
        "city": pick.choice(["Berlin", "Lisbon", "Warsaw", "Porto"]),
        "score": round(pick.random() * 100, 3),
        "active": pick.random() < 0.5,
        "tags": ["new", "eu", f"cohort-{pick.randrange(20)}"],
        "seen": 1_700_000_000 + pick.randrange(10_000_000),
        "plan": pick.choice(["free", "team", "enterprise"]),
    }


def small_dicts(count: int) -> list[dict[str, Any]]:
    """``count`` different :func:`small_dict` records."""
    return [small_dict(index) for index in range(count)]


def json_document() -> dict[str, Any]:
    """A nested document of 258 nodes (containers, keys and leaves), the subject of deep sizing."""
    pick = random.Random(4001)
    rows = [
        {"id": i, "name": f"item {i}", "price": pick.random() * 100, "tags": [f"t{i}", f"u{i}"]}
        for i in range(22)
    ]
    return {"kind": "order", "total": 22, "rows": rows, "open": True, "flags": list("abcde")}


_SYLLABLES: Final = """
    re in con de pro com ex per sub trans ter val ment tion ing er al an or is it ver sta ble
    plex ma ni fest ob ject ue li ne ar qu y lo g ic da ta ba se ca che me mo ry wo th ou ght
    sp ring fl ow kn ee bur st wh en str ide gl oss cr aft hu nt pl ush z one v ow j ump k ite
""".split()  # noqa: SIM905 - 80 syllables read better as three lines


@functools.cache
def _sentences() -> list[str]:
    """16,000 sentences over a 6,000-word vocabulary used with natural, skewed frequencies."""
    pick = random.Random(5001)
    words = ["".join(pick.choices(_SYLLABLES, k=pick.randrange(1, 5))) for _ in range(6000)]
    weights = list(itertools.accumulate(1.0 / (rank + 60) for rank in range(len(words))))

    def sentence() -> str:
        chosen = pick.choices(words, cum_weights=weights, k=pick.randrange(5, 28))
        return " ".join(chosen).capitalize() + pick.choice(".....?!:")

    return [sentence() for _ in range(16_000)]


def _text(pick: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        text += pick.choice(_sentences()) + " "
    return text[:length].rstrip()


def _message(pick: random.Random) -> dict[str, Any]:
    kind = pick.random()
    if kind < 0.35:
        return {
            "role": "user",
            "content": _text(pick, pick.randrange(20, 240)),
            "ts": 1.7e9 + pick.random() * 1e7,
        }
    if kind < 0.7:
        return {
            "role": "assistant",
            "content": _text(pick, pick.randrange(60, 700)),
            "tokens": pick.randrange(10, 900),
            "finish_reason": "stop",
            "ts": 1.7e9 + pick.random() * 1e7,
        }
    call = f"call_{pick.getrandbits(48):012x}"
    if kind < 0.85:
        tool = pick.choice(["search", "read_file", "run_sql", "fetch_url", "python", "send_email"])
        arguments = {"query": _text(pick, 40), "limit": pick.randrange(50)}
        function = {"name": tool, "arguments": json.dumps(arguments)}
        calls = [{"id": call, "type": "function", "function": function}]
        return {"role": "assistant", "tool_calls": calls}
    return {
        "role": "tool",
        "tool_call_id": call,
        "status": pick.choice(["ok", "ok", "error"]),
        "duration_ms": round(pick.random() * 900, 3),
        "content": _text(pick, pick.randrange(60, 600)),
    }


def session_record(index: int) -> dict[str, Any]:
    """A chat session of 0.3 to 4.5 KB as JSON: ids, timestamps, tool calls and prose."""
    pick = random.Random(6001 + index)
    target = int(300 * 13 ** pick.random()) - 100
    stamp = "2025-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z".format(
        *(low + pick.randrange(n) for low, n in ((1, 12), (1, 28), (0, 24), (0, 60), (0, 60)))
    )
    messages: list[dict[str, Any]] = []
    size = 230
    while size < target:
        messages.append(_message(pick))
        size += len(json.dumps(messages[-1])) + 2
    return {
        "session_id": f"sess_{pick.getrandbits(96):024x}",
        "user_id": pick.randrange(1, 50_000),
        "created_at": stamp,
        "model": pick.choice(["small-2", "medium-4", "large-70b", "xl-moe"]),
        "temperature": round(pick.random(), 2),
        "state": pick.choice(["active", "idle", "done", "error"]),
        "locale": pick.choice(["en-US", "de-DE", "pl-PL", "fr-FR"]),
        "messages": messages,
        "usage": {"prompt": pick.randrange(4000), "completion": pick.randrange(2000)},
    }


def session_records(count: int) -> list[dict[str, Any]]:
    """``count`` different :func:`session_record` dicts."""
    return [session_record(index) for index in range(count)]


def session_bytes(count: int) -> list[bytes]:
    """The same records as UTF-8 JSON."""
    return [json.dumps(session_record(index)).encode() for index in range(count)]


def arrays(count: int) -> list[NDArray[np.float64]]:
    """``count`` float64 arrays of 128 KB. Needs numpy."""
    import numpy as np

    ramp = np.arange(16_384, dtype=np.float64)
    return [ramp + index for index in range(count)]


@dataclasses.dataclass
class Profile:
    """An instance with attributes, as applications keep them."""

    name: str
    scores: list[float]
    seen: set[int]


def mixed(index: int) -> Any:
    """One of eight kinds of values, 100 bytes to 30 KB, skewed to the small ones."""
    pick = random.Random(7001 + index)
    kind = index % 8
    if kind == 0:
        return small_dict(index)
    if kind == 1:
        return pick.randbytes(int(100 * 200 ** pick.random()))
    if kind == 2:
        return _text(pick, int(100 * 40 ** pick.random()))
    if kind == 3:
        return [pick.random() for _ in range(pick.randrange(1, 200))]
    if kind == 4:
        return Profile(f"name {index}", [pick.random() for _ in range(5)], set(range(index % 40)))
    if kind == 5:
        return bytearray(pick.randbytes(int(100 * 300 ** pick.random())))
    if kind == 6:
        return tuple(f"part {index} {part}" for part in range(pick.randrange(1, 60)))
    return session_record(index)


def take(items: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    """The stored objects themselves in access order: identical keys with their hashes cached."""
    return [items[index] for index in indices]
