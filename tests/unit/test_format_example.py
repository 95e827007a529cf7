"""FORMAT.md against the code: an independent reader, written from the page alone."""

import re
import struct
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import xxhash

import fastmem
from fastmem.storage import SegmentStore

PAGE = Path(fastmem.__file__).parent / "storage" / "FORMAT.md"
RECORD = struct.Struct("<QQqIIBBHIHHI")
UNIT = 16


def parse(segment: bytes, salt: int, number: int, segment_bytes: int) -> Any:
    """Yield (kind, key, value) of every record of a segment's bytes."""
    first = number * segment_bytes // UNIT
    at = 4
    while at * UNIT + RECORD.size <= len(segment):
        start = at * UNIT
        head = RECORD.unpack_from(segment, start)
        hcheck, bcheck, _deadline, klen, vlen, kind, flags, _codec, _dictionary, mac_key, *_ = head
        body = RECORD.size + (16 if flags & 8 else 0) + klen
        covered = segment[start + 8 : start + body]
        if hcheck != xxhash.xxh3_64_intdigest(covered, seed=salt ^ (first + at)):
            return
        if flags & 4:
            body += -(start + body) % 64
        length = vlen + (16 if mac_key else 0)
        value = segment[start + body : start + body + length]
        assert bcheck == xxhash.xxh3_64_intdigest(value)
        yield kind, covered[-klen:] if klen else b"", value
        at += -(-(body + length) // UNIT)


def test_the_worked_example_is_a_valid_record() -> None:
    text = PAGE.read_text()
    lines = re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ){15}[0-9a-f]{2})", text, re.MULTILINE)
    assert [int(offset, 16) for offset, _ in lines] == [0, 16, 32, 48]
    record = bytes.fromhex("".join(digits for _, digits in lines))
    segment = bytes(64) + record
    assert list(parse(segment, 0x1122334455667788, 0, 1 << 20)) == [(1, b"suser:7", b"Ada")]


def test_the_worked_check_of_a_key() -> None:
    check = blake2b(
        bytes(range(16)), key=bytes(range(32)), digest_size=16, person=b"fastmem store"
    ).hexdigest()
    assert f"`{check}`" in PAGE.read_text()


def test_a_store_writes_what_the_page_says(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 << 20) as store:
        store.put("user:7", "Ada")
        store.put(b"raw", b"\x00\x01", ttl_seconds=60)
        store.delete("user:7")
    page = (private_tmp / "super").read_bytes()
    magic, form, segment_bytes, _uuid, salt, _created = struct.unpack_from("<8sII16sQQ", page)
    assert (magic, form, segment_bytes) == (b"FASTMEM\0", 1, 1 << 20)
    segment = (private_tmp / "seg.0").read_bytes()
    assert segment[:8] == b"FMWARM\0\0"
    assert struct.unpack_from("<Q", segment, 40)[0] == salt
    assert list(parse(segment, salt, 0, segment_bytes)) == [
        (1, b"suser:7", b"Ada"),
        (1, b"braw", b"\x00\x01"),
        (2, b"suser:7", b""),
    ]


@pytest.mark.parametrize("at", [8, 16, 24, 28, 32, 33, 34, 36, 42, 48])
def test_every_header_byte_is_covered_by_its_check(private_tmp: Path, at: int) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 << 20) as store:
        store.put("user:7", "Ada")
    salt = struct.unpack_from("<Q", (private_tmp / "super").read_bytes(), 32)[0]
    segment = bytearray((private_tmp / "seg.0").read_bytes())
    assert len(list(parse(bytes(segment), salt, 0, 1 << 20))) == 1
    segment[64 + at] ^= 1
    assert list(parse(bytes(segment), salt, 0, 1 << 20)) == []
    (private_tmp / "seg.0").write_bytes(segment)
    with SegmentStore(private_tmp, budget_bytes=16 << 20) as store:
        assert store.get("user:7") is None
        assert store.stats()["errors"]["corrupt"] == 1
