"""Which of an operation's places a test goes to: each, or in the short profile a sample."""

from __future__ import annotations

import os
from collections.abc import Iterator

DENSE = 16  # the first places, where an operation looks at what it was given: each of them
STRIDE = 1 if os.environ.get("FASTMEM_PROFILE") == "nightly" else 5
LIMIT = 10_000  # in one operation: more is an endless loop


def places(first: int = 1, *, dense: int = DENSE, stride: int = STRIDE) -> Iterator[int]:
    """Numbers from `first` on, to be broken off at the first place that is not there: all of them
    when the profile is "nightly", else the first `dense` and each `stride`-th of the rest.
    AssertionError at LIMIT.
    """
    yield from range(first, first + dense)
    yield from range(first + dense, LIMIT, stride)
    raise AssertionError(f"more than {LIMIT} places")
