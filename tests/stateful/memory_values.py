"""Keys and values for the law machine."""

from fractions import Fraction

import numpy
from hypothesis import strategies as st

KIB = 1 << 10

KEYS = st.sampled_from(
    [
        "a", "b", "../x", "\0", "k" * 300, "\ud800", b"a", b"", 0, 1, -1, 2**70, (), ("a", 1),
        (b"a", ("n", 2)), (1,), ("1",),
    ]
)  # fmt: skip


def noise(seed: int, size: int) -> bytes:
    return numpy.random.default_rng(seed).bytes(size)


SMALL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from([b"", "", 0, False, (), [], {}, set(), {"n": [1, {"m": (2, None)}]}]),
    st.builds(Fraction, st.integers(-9, 9), st.integers(1, 9)),
    st.builds(lambda n: numpy.arange(n, dtype="i4"), st.integers(0, 40)),
)
LARGE = st.one_of(
    st.builds(noise, st.integers(0, 99), st.just(10 * KIB)),
    st.builds(noise, st.integers(0, 99), st.just(70 * KIB)),  # more than L1
    st.builds(noise, st.integers(0, 99), st.just(300 * KIB)),  # a file of its own
    st.builds(lambda n: "long " * n, st.integers(20_000, 40_000)),  # shrinks in the archive
    st.builds(lambda n: numpy.full(50_000, n), st.integers(0, 9)),
)
VALUES = st.one_of(SMALL, SMALL, LARGE)
