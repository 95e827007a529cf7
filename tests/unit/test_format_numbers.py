"""Every file carries a format number: one that is not read here is refused, and nothing touched."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fastmem import FormatError
from fastmem._core.layout import FIRST_FORMAT, FORMAT
from fastmem.codecs import train_dictionary
from tests.crash.directories import (
    contents,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    snapshot,
)

LARGE = os.urandom(300_000)
VALUES: dict[Any, Any] = {**{i: "x" * i for i in range(2000)}, "large": LARGE}
TRAINED = train_dictionary([b"one row among %d rows of its sort" % i for i in range(400)]) or b""
# Where the check of each file's head lies; it covers what is before it.
CHECK_AT = {
    "super": 48, "archive": 48, "index": 32, "overflow": 32, "procs": 24, "seg": 56, "cold": 56,
    "dict": 32,
}  # fmt: skip
CASES = [
    *((open_segments, f"l2/{name}") for name in ("super", "index", "overflow", "procs", "seg.0")),
    *((open_tiers, f"l2/{name}") for name in ("super", "index", "overflow", "procs", "seg.1")),
    *((open_tiers, f"l3/{name}") for name in ("archive", "dict.1")),
    *((open_archive, f"l3/{name}") for name in ("super", "archive", "index", "overflow", "procs")),
    *((open_archive, f"l3/{name}") for name in ("cold.0", "dict.1")),
]


def everything(at: Path) -> dict[str, Any]:
    return {str(path): snapshot(path) for path in sorted(at.rglob("*")) if path.is_dir()}


def fill(at: Path, opener: Any) -> None:
    """A store with every sort of file."""
    with opener(at) as store:
        store.update(VALUES)
    if (at / "l3").exists():
        head = struct.pack("<IIQQ", FORMAT, 1, len(TRAINED), xxhash.xxh3_64_intdigest(TRAINED))
        head = b"FMDICT\0\0" + head
        (at / "l3" / "dict.1").write_bytes(head + checked(head) + TRAINED)


def checked(head: bytes) -> bytes:
    return struct.pack("<Q", xxhash.xxh3_64_intdigest(head))


def renumber(path: Path, number: int) -> None:
    """Give a file another number and a check that fits it."""
    at = CHECK_AT[path.name.partition(".")[0]]
    head = path.read_bytes()[:at]
    head = head[:8] + struct.pack("<I", number) + head[12:]
    patch(path, 0, head + checked(head))


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("opener", "name"), CASES)
def test_another_number(
    private_tmp: Path, opener: Any, name: str, read_only: bool, clean: bool
) -> None:
    fill(private_tmp, opener)
    if not clean:
        for page in private_tmp.glob("l?/super"):
            patch(page, 120, bytes(8))
    for number, limit in (
        (FORMAT + 1, f"up to {FORMAT}"),
        (0xFFFFFFFF, f"up to {FORMAT}"),
        (FIRST_FORMAT - 1, f"from {FIRST_FORMAT} on"),
    ):
        renumber(private_tmp / name, number)
        before = everything(private_tmp)
        with pytest.raises(FormatError, match=f"format {number}, this version reads {limit}") as e:
            opener(private_tmp, read_only=read_only)
        assert e.value.filename == str(private_tmp / name)
        assert everything(private_tmp) == before


@pytest.mark.parametrize(("opener", "name"), CASES)
def test_a_number_that_a_flipped_bit_made(private_tmp: Path, opener: Any, name: str) -> None:
    fill(private_tmp, opener)
    patch(private_tmp / name, 8, struct.pack("<I", FORMAT ^ 64))
    with opener(private_tmp) as store:
        assert contents(store) == VALUES
        store.check()


def test_a_value_file_of_another_number_is_nothing_to_remove(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", LARGE)
        (path,) = private_tmp.rglob("val.*")
        left = path.read_bytes()  # as if its record had not been appended
        store.delete("k")
    head = left[:8] + struct.pack("<I", FORMAT + 1) + left[12:40]
    path.write_bytes(head + checked(head + left[48:50]) + left[48:])
    patch(private_tmp / "l2" / "super", 120, bytes(8))
    for _again in range(2):
        with open_segments(private_tmp) as store:
            assert contents(store) == {}
        assert path.exists()
        (private_tmp / "l2" / "index").unlink()
