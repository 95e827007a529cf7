"""What a constructor is given, checked before anything is made of it.

Each check returns the value, or raises TypeError or ValueError with the argument, the value and
the limit.
"""

from __future__ import annotations

import math
import operator
import os
from numbers import Real
from typing import cast

__all__ = ["MIB", "directory", "flag", "mebibytes", "positive", "whole"]

MIB = 1 << 20
_MOST_BYTES = 1 << 61  # two of them still add up in 64 bits


def whole(name: str, value: object, least: int, most: int = _MOST_BYTES) -> int:
    """An int from `least` to `most`, bool excluded."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise _wrong_type(name, "an int", value)
    number = operator.index(value)  # type: ignore[arg-type]
    _require_between(name, number, least, most)
    return number


def positive(name: str, value: object) -> float:
    """A finite number above zero, bool excluded."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _wrong_type(name, "a number", value)
    number = cast("float", value)  # what any Real does
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a positive, finite number, not {value!r:.80}")
    return number


def bound_ns(seconds: float) -> int:
    """The nanoseconds of a bound, from one to 146 years."""
    return min(max(int(seconds * 1e9), 1), 1 << 62)


def mebibytes(name: str, value: object, least_bytes: int = 1) -> int:
    """The bytes of a size in MiB, which may be a fraction."""
    size = positive(name, value)
    if not least_bytes <= size * MIB <= _MOST_BYTES:
        limit, word = (least_bytes, "least") if size < 1 << 20 else (_MOST_BYTES, "most")
        raise ValueError(
            f"{name} must be at {word} {limit / MIB:,.6g} ({limit:,} bytes), not {value!r:.80}"
        )
    return int(size * MIB)


def flag(name: str, value: object) -> bool:
    """True or False: a word like "no" would be true."""
    if not isinstance(value, bool):
        raise _wrong_type(name, "True or False", value)
    return value


def directory(name: str, value: object) -> str:
    """The path of a directory, as text."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise _wrong_type(name, "a str or an os.PathLike of str", value)
    if not path or "\0" in path:
        raise ValueError(f"{name} must be the path of a directory, not {value!r:.80}")
    return path


def _require_between(name: str, number: int, least: int, most: int) -> None:
    if number < least:
        raise ValueError(f"{name} must be at least {least:,}, not {number:,}")
    if number > most:
        raise ValueError(f"{name} must be at most {most:,}, not {number:,}")


def _wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {value!r:.80} ({type(value).__name__})")
