"""Keys and values of every type that a directory can hold."""

from __future__ import annotations

import array
import decimal
import hashlib
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np

__all__ = ["KEYS", "alike", "shown", "values"]

KEYS: list[Any] = [
    "text", "", "t\u00e9xt \U0001f600", "\ud800", "k" * 65_535, b"", b"raw\0", 0, 1, -1, 127, 128,
    -129, 2**63, -(2**200), (), (1,), ("a", b"b", 3, ("nested", ())), ("t",) * 300,
]  # fmt: skip


def values() -> dict[str, Any]:
    """A value of every codec and of every node, by name. The same ones at each call."""
    shared = [1, 2]
    numbers = np.arange(24, dtype="<f8")
    record = np.zeros(3, dtype=[("a", "<i4"), ("b", "S5"), ("c", "<f4", (2,))])
    record["a"] = [1, 2, 3]
    return {
        "none": None,
        "bools": [True, False],
        "ints": [0, -1, 2**63 - 1, 2**64 - 1, -(2**63)],
        "large int": 2**100,
        "negative int": [-(2**100)],
        "float": 1.5,
        "str": "t\u00e9xt",
        "surrogate": ["\ud800"],
        "bytes": b"\0\xff",
        "empty": ["", b"", [], {}],
        "dict": {"a": {"b": [1, {"c": None}]}, 1: 2},
        "tuple": (1, (2, "x")),
        "sets": [{1, 2}, frozenset({3}), frozenset()],
        "shared": [shared, shared, {"again": shared}],
        "bytearray": bytearray(b"mutable"),
        "complex": [1 + 2j],
        "datetimes": [
            datetime(2025, 1, 2, 3, 4, 5, 6),
            datetime(2025, 1, 2, 3, 4, 5, 6, UTC, fold=1),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=-5, minutes=30), "named")),
            date(2025, 1, 2),
            time(1, 2, 3, 4),
            timedelta(-1, 2, 3),
            UTC,
        ],
        "array.array": array.array("d", [1.0, 2.0]),
        "ndarray": numbers,
        "fortran": np.asfortranarray(numbers.reshape(4, 6)),
        "struct": record,
        "times": np.array(["2025-01-02"], dtype="<M8[D]"),
        "no items": np.zeros((0, 3), dtype="<u2"),
        "arrays": {"a": numbers[:3].copy(), "b": [numbers[3:5].copy()]},
        "pickle": decimal.Decimal("1.25"),
        "pickle with buffers": [decimal.Decimal(7), np.arange(4096, dtype="<i4")],
        "compressible": "the same again; " * 500,
        "large": bytes(range(256)) * 1200,
        "large array": np.arange(40_000, dtype="<i8"),
        "large rows": [{"n": n, "text": "x" * 20} for n in range(9000)],
    }


def alike(one: Any, other: Any) -> bool:
    """Equality of type and content, of arrays too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def shown(value: Any) -> str:
    """A value as text that is equal for equal values only, on every version of Python and numpy."""
    text = text_of(value)
    if len(text) <= 100:
        return text
    return f"{type(value).__name__} {hashlib.sha256(text.encode()).hexdigest()}"


def text_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.descr} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!a}: {text_of(value[key])}' for key in value)}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(text_of, value))})"
    return ascii(value)
