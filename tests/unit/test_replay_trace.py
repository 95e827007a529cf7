"""Traces: every form that is read, and the place named for every one that is cut or malformed."""

import gzip
import lzma
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import trace
from fastmem.trace import CompactTrace, TextTrace, TraceError, open_trace

TEXT = b"# a comment\nalpha\n\nbeta 20\ngamma,30\n  delta , 40  \nalpha\r\n\xc3\xa9 5\nlast 0"
REQUESTS = [
    ("alpha", 1024),
    ("beta", 20),
    ("gamma", 30),
    ("delta", 40),
    ("alpha", 1024),
    ("é", 5),
    ("last", 0),
]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pack(numbers: list[int]) -> bytes:
    """Four byte planes under xz, as a compact trace has them."""
    raw = struct.pack(f"<{len(numbers)}I", *numbers)
    return lzma.compress(b"".join(raw[plane::4] for plane in range(4)))


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress, lzma.compress])
def test_text_plain_and_compressed(tmp_path: Path, squeeze: Callable[[bytes], bytes]) -> None:
    content = squeeze(TEXT)
    opened = open_trace(write(tmp_path / "any.name", content))
    assert isinstance(opened, TextTrace)
    assert opened.total == len(content)
    assert list(opened.requests()) == REQUESTS


def test_progress_through_a_text_trace(tmp_path: Path) -> None:
    opened = open_trace(write(tmp_path / "t", b"key\n" * 200_000))
    seen = [opened.done() for number, _ in enumerate(opened.requests()) if number % 5000 == 0]
    assert seen == sorted(seen)
    assert opened.total is not None
    assert 0 < seen[20] < opened.total
    assert opened.done() == opened.total


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a\nb 1 2\n", "line 2: 3 fields"),
        (b"a\nb x\n", "line 2: size 'x' is not a number"),
        (b"a -1\n", "line 1: size '-1'"),
        (b"a 1.5\n", "line 1: size '1.5'"),
        (b"a 1073741825\n", "line 1: size '1073741825'"),
        (b"a " + b"9" * 50_000 + b"\n", "line 1: size '99999999999999999999' "),
        (b"a\n\xff\xfe\n", "line 2: the key is not UTF-8"),
        (b"a\nb\0c\n", "line 2: holds a NUL byte"),
        (b"a\n" + b"k" * 65_537, "line 2: longer than 65,536 bytes"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, content: bytes, place: Path) -> None:
    path = write(tmp_path / "bad.txt", content)
    with pytest.raises(TraceError) as error:
        list(open_trace(path).requests())
    assert str(error.value).startswith(f"{path}: {place}")


def test_requests_before_the_malformed_line_are_given(tmp_path: Path) -> None:
    requests = open_trace(write(tmp_path / "t", b"a\nb\nc d e\n")).requests()
    assert [next(requests), next(requests)] == [("a", 1024), ("b", 1024)]
    with pytest.raises(TraceError, match="line 3"):
        next(requests)


@pytest.fixture
def numbers() -> bytes:
    """Text that compresses to about half: damage in its middle cannot go unseen."""
    source = random.Random(5)
    return "".join(f"{source.getrandbits(64)}\n" for _ in range(2000)).encode()


@pytest.mark.parametrize("squeeze", [gzip.compress, lzma.compress])
def test_cut_compressed_text(
    tmp_path: Path, numbers: bytes, squeeze: Callable[[bytes], bytes]
) -> None:
    whole = squeeze(numbers)
    path = write(tmp_path / "cut", whole[: len(whole) // 2])
    with pytest.raises(TraceError, match=r"cut: cut or damaged after line [\d,]+: "):
        list(open_trace(path).requests())


@pytest.mark.parametrize("squeeze", [gzip.compress, lzma.compress])
def test_damaged_compressed_text(
    tmp_path: Path, numbers: bytes, squeeze: Callable[[bytes], bytes]
) -> None:
    content = bytearray(squeeze(numbers))
    middle = len(content) // 2
    for place in range(middle, middle + 64):
        content[place] ^= 255
    path = write(tmp_path / "flipped", bytes(content))
    with pytest.raises(TraceError, match=r"flipped: "):
        list(open_trace(path).requests())


def test_an_endless_line_is_not_read_to_its_end() -> None:
    with pytest.raises(TraceError, match="/dev/zero: line 1: longer than 65,536 bytes"):
        list(open_trace("/dev/zero").requests())


def test_a_device_has_no_total() -> None:
    opened = open_trace("/dev/null")
    assert opened.total is None
    assert list(opened.requests()) == []
    assert opened.done() == 0


def test_compact_without_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ids.xz", pack([0, 1, 0, 70_000, 2**32 - 1]))
    opened = open_trace(path)
    assert isinstance(opened, CompactTrace)
    assert opened.total == 5
    assert list(opened.requests()) == [(key, 1024) for key in (0, 1, 0, 70_000, 2**32 - 1)]
    assert opened.done() == 5


def test_compact_with_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "t.ids.xz", pack([0, 1, 0]))
    write(tmp_path / "t.sizes.xz", pack([300, 500_000]))
    assert list(open_trace(path).requests()) == [(0, 300), (1, 500_000), (0, 300)]


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([300, 400], "request 3: object 2, but there are 2 sizes"),
        ([300, 2**31, 1], "request 2: object 1 has an impossible 2,147,483,648 bytes"),
    ],
)
def test_compact_with_sizes_that_do_not_fit(tmp_path: Path, sizes: Any, told: str) -> None:
    path = write(tmp_path / "t.ids.xz", pack([0, 1, 2]))
    write(tmp_path / "t.sizes.xz", pack(sizes))
    with pytest.raises(TraceError, match=told):
        list(open_trace(path).requests())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (pack(list(range(5000)))[:-40], "cut short at byte"),
        (b"", "cut short at byte 0"),
        (b"not xz at all, whatever its name says", "damaged before byte 37"),
        (pack([1, 2]) + b"tail", "something follows the end of the data near byte"),
        (lzma.compress(b"12345"), "5 bytes unpacked are not four equal planes"),
    ],
)
def test_malformed_compact(tmp_path: Path, content: bytes, told: str) -> None:
    path = write(tmp_path / "t.ids.xz", content)
    with pytest.raises(TraceError) as error:
        open_trace(path)
    assert str(error.value).startswith(f"{path}: {told}")


def test_a_compact_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "LARGEST_ARRAY_BYTES", 3 << 20)
    path = write(tmp_path / "t.ids.xz", lzma.compress(bytes(64 << 20)))
    with pytest.raises(TraceError, match="more than 3,145,728 bytes unpacked"):
        open_trace(path)


@pytest.mark.parametrize("name", ["none.txt", "none.ids.xz"])
def test_a_missing_trace_is_an_os_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_trace(tmp_path / name)
