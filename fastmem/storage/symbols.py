"""Binding the compiled hash to the xxhash wheel, once per process."""

from __future__ import annotations

import functools
import importlib
import os

import xxhash

from fastmem._core import hashing
from fastmem.errors import MissingSymbolError


@functools.cache
def bind_xxh3() -> None:
    """Bind XXH3 or raise MissingSymbolError naming the wheel; the lower tiers cannot do without.

    The bound functions are checked against the wheel's Python API before anything trusts them.
    """
    extension = importlib.import_module("xxhash._xxhash").__file__
    missing = hashing.bind(os.fsencode(extension)) if extension else ["(no extension)"]
    if missing:
        raise MissingSymbolError(
            f"the installed xxhash {xxhash.VERSION} does not export {', '.join(missing)}; "
            "L2 and L3 need a wheel of xxhash from PyPI (pip install --force-reinstall xxhash)"
        )
    for length in (0, 3, 16, 128, 240, 1024):
        sample = bytes(range(256))[: length % 257] * (1 + length // 257)
        if hashing.digest(sample) != xxhash.xxh3_64_intdigest(sample) or hashing.digest_seeded(
            sample, 7
        ) != xxhash.xxh3_64_intdigest(sample, 7):
            raise MissingSymbolError(
                f"xxhash {xxhash.VERSION}: the exported XXH3 disagrees with its Python API"
            )
