"""A reader of directories that was written from FORMAT.md alone: it imports nothing of the package.

It reads what was closed, or left by a death, by walking every segment; no index, and no secret key.
"""

from __future__ import annotations

import array
import pickle
import re
import struct
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from pathlib import Path
from typing import Any, NamedTuple

import msgspec.msgpack
import numpy as np
import xxhash
import zstandard

UNIT, FIRST_UNIT = 16, 4
VALUE, TOMBSTONE, SEAL, POINTER = 1, 2, 3, 4
COMPRESSED, ALIGNED, COLD = 2, 4, 8
RECORD = struct.Struct("<QQqIIBBHIHHI")
FORMAT = 1

xxh3 = xxhash.xxh3_64_intdigest
unpack = msgspec.msgpack.Decoder().decode


class Page(NamedTuple):
    segment_bytes: int
    uuid: bytes
    salt: int
    head: int
    cold_head: int


class Record(NamedTuple):
    cold: bool
    at: int
    version: int
    deadline_ns: int
    kind: int
    flags: int
    codec: int
    dictionary: int
    key: bytes
    value: bytes
    sound: bool


def read(warm: Path | None, cold: Path | None) -> dict[Any, Any]:
    """Every live key and value of a store, of an archive alone or of both together."""
    first = page(warm / "super" if warm else cold / "super")  # type: ignore[operator]
    counts: dict[bytes, Record] = {}
    if cold is not None:
        for record in records(cold, "cold", page(cold / "archive")):
            older = counts.get(record.key)
            same = older is not None and older.version == record.version
            if (
                older is None
                or record.version > older.version
                or (same and older.kind != TOMBSTONE and record.sound)
            ):
                counts[record.key] = record
    if warm is not None:
        for record in records(warm, "seg", first):
            older = counts.get(record.key)
            if record.at >= first.head and (
                older is None
                or record.version > older.version
                or (record.version == older.version and not older.sound)
            ):
                counts[record.key] = record
    return {
        key_of(record.key): value_of(record, cold if record.cold else warm)
        for record in counts.values()
        if record.kind != TOMBSTONE
        and not (record.cold and record.at < first.cold_head)
        and not 0 < record.deadline_ns <= time.time_ns()
    }


def page(path: Path) -> Page:
    data = path.read_bytes()
    magic, number, segment_bytes, uuid, salt, _created, check = struct.unpack_from(
        "<8sII16sQQQ", data
    )
    assert magic == {"super": b"FASTMEM\0", "archive": b"FMARCHIV"}[path.name]
    assert number == FORMAT
    assert check == xxh3(data[:48])
    (head,) = struct.unpack_from("<Q", data, 200)
    (cold_head,) = struct.unpack_from("<Q", data, 224)
    return Page(segment_bytes, uuid, salt, head, cold_head)


def records(folder: Path, stem: str, of: Page) -> Iterator[Record]:
    found = (re.fullmatch(rf"{stem}\.(\d+)", path.name) for path in folder.iterdir())
    for number in sorted(int(match[1]) for match in found if match):
        data = (folder / f"{stem}.{number}").read_bytes()
        magic, form, size, uuid, told, salt, _spare, check = struct.unpack_from(
            "<8sII16sQQQQ", data
        )
        assert magic == {"seg": b"FMWARM\0\0", "cold": b"FMCOLD\0\0"}[stem]
        assert (form, size, uuid, told, salt) == (FORMAT, len(data), of.uuid, number, of.salt)
        assert size == of.segment_bytes
        assert check == xxh3(data[:56])
        yield from walk(data, number * size // UNIT, of.salt, cold=stem == "cold")


def walk(data: bytes, first: int, salt: int, *, cold: bool) -> Iterator[Record]:
    at = FIRST_UNIT
    while at * UNIT < len(data):
        start = at * UNIT
        record = record_at(data, start, first + at, salt, cold=cold)
        if record is None:
            check, units = struct.unpack_from("<QQ", data, start)
            skipped = check == xxh3(data[start + 8 : start + 16], seed=salt ^ (first + at))
            at += units if skipped else 1
            if not any(data[start : start + UNIT]):  # zeros: mostly to the end
                at = (len(data) - len(data[start:].lstrip(b"\0"))) // UNIT
            continue
        found, end = record
        if found.kind == SEAL:
            return
        yield found
        at = -(-end // UNIT)


def record_at(
    data: bytes, start: int, at: int, salt: int, *, cold: bool
) -> tuple[Record, int] | None:
    """The record at an offset and where it ends; None when there is none."""
    if start + RECORD.size > len(data):
        return None
    hcheck, bcheck, deadline, klen, vlen, kind, flags, codec, dictionary, mac_key, *_written = (
        RECORD.unpack_from(data, start)
    )
    if not 1 <= kind <= 4 or flags > 15 or klen > 65_536 or vlen > 262_144:
        return None
    key_at = start + RECORD.size + (16 if flags & COLD else 0)
    end_of_key = key_at + klen
    value_at = -(-end_of_key // 64) * 64 if flags & ALIGNED else end_of_key
    end = value_at + vlen + (16 if mac_key else 0)
    if end > len(data) or hcheck != xxh3(data[start + 8 : end_of_key], seed=salt ^ at):
        return None
    version = struct.unpack_from("<Q", data, start + RECORD.size)[0] if flags & COLD else at
    sound = bcheck == xxh3(data[value_at:end])
    value = data[value_at : value_at + vlen]
    key = data[key_at:end_of_key]
    told = deadline, kind, flags, codec, dictionary
    return Record(cold, at, version, *told, key, value, sound), end


def key_of(data: bytes) -> Any:
    tag, content = data[:1], data[1:]
    if tag == b"s":
        return content.decode("utf-8", "surrogatepass")
    if tag == b"b":
        return content
    if tag == b"i":
        return int.from_bytes(content, "big", signed=True)
    assert tag == b"t"
    (count,) = struct.unpack_from(">H", content)
    items, place = [], 2
    for _item in range(count):
        (length,) = struct.unpack_from(">H", content, place)
        items.append(key_of(content[place + 2 : place + 2 + length]))
        place += 2 + length
    assert place == len(content)
    return tuple(items)


def value_of(record: Record, folder: Path | None) -> Any:
    assert record.sound
    assert folder is not None
    content = record.value
    if record.kind == POINTER:
        number, length, checksum = struct.unpack("<QQQ", content)
        data = (folder / f"val.{number:016x}").read_bytes()
        head = struct.unpack_from("<8sIIQQQQ", data)
        assert head[:6] == (
            b"FMVALUE\0", FORMAT, len(record.key), number, length, checksum
        )  # fmt: skip
        assert data[48 : 48 + len(record.key)] == record.key
        assert head[6] == xxh3(data[:40] + record.key)
        start = -(-(48 + len(record.key)) // 64) * 64
        content = data[start:]
        assert (len(content), xxh3(content)) == (length, checksum)
    if record.flags & COMPRESSED:
        content = decompressed(content, record.dictionary, folder)
    return DECODERS[record.codec](content)


def decompressed(frame: bytes, number: int, folder: Path) -> bytes:
    if number == 0:
        return zstandard.ZstdDecompressor().decompress(frame)
    data = (folder / f"dict.{number}").read_bytes()
    magic, form, told, length, checksum, check = struct.unpack_from("<8sIIQQQ", data)
    assert (magic, form, told) == (b"FMDICT\0\0", FORMAT, number)
    assert check == xxh3(data[:32])
    body = data[40:]
    assert (len(body), xxh3(body)) == (length, checksum)
    dictionary = zstandard.ZstdCompressionDict(body)
    return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(frame)


def array_of(content: bytes) -> Any:
    (length,) = struct.unpack_from("<I", content)
    return elements(unpack(content[4 : 4 + length]), content[-(-(4 + length) // 64) * 64 :])


def elements(header: Any, data: bytes) -> Any:
    description, shape, order = header
    found = np.frombuffer(bytearray(data), dtype_of(description))
    return found.reshape(shape, order=order)


def dtype_of(description: Any) -> Any:
    if isinstance(description, str):
        return np.dtype(description)
    if description[0] == "sub":
        return np.dtype((dtype_of(description[1]), tuple(description[2])))
    if description[0] == "long":
        return np.dtype(description[1])
    _struct, itemsize, aligned, fields = description
    return np.dtype(
        {
            "names": [field[0] for field in fields],
            "formats": [dtype_of(field[1]) for field in fields],
            "offsets": [field[2] for field in fields],
            "itemsize": itemsize,
        },
        align=aligned,
    )


def pickled(content: bytes) -> Any:
    count, length = struct.unpack_from("<IQ", content)
    lengths = struct.unpack_from(f"<{count}Q", content, 12)
    place = 12 + 8 * count + length
    buffers = []
    for size in lengths:
        place = -(-place // 64) * 64
        buffers.append(bytearray(content[place : place + size]))
        place += size
    return pickle.loads(content[12 + 8 * count :], buffers=buffers)  # noqa: S301 - made here


def graph(content: bytes) -> Any:
    root, nodes = unpack(content)
    built: list[Any] = []

    def items(found: list[Any]) -> list[Any]:
        return [built[item[0]] if isinstance(item, list) else item for item in found]

    for kind, *rest in nodes:
        if kind in (0, 2, 3):
            built.append({0: list, 2: dict, 3: set}[kind]())
        elif kind in (1, 4):
            built.append({1: tuple, 4: frozenset}[kind](items(rest)))
        else:
            built.append(LEAVES[kind](*rest))
    for made, (kind, *rest) in zip(built, nodes, strict=True):
        if kind == 0:
            made.extend(items(rest))
        elif kind == 2:
            made.update(zip(items(rest[::2]), items(rest[1::2]), strict=True))
        elif kind == 3:
            made.update(items(rest))
    return items([root])[0]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def zone_of(zone: Any) -> timezone | None:
    if zone is None:
        return None
    return timezone(timedelta(*zone[:3]), *map(text, zone[3:]))


def moment(*told: Any) -> datetime:
    *parts, fold, zone = told
    return datetime(*parts).replace(fold=fold, tzinfo=zone_of(zone))


def hour(*told: Any) -> clock:
    *parts, fold, zone = told
    return clock(*parts).replace(fold=fold, tzinfo=zone_of(zone))


def items_of(code: str, size: int, data: bytes) -> Any:
    found: Any = array.array(code)
    assert found.itemsize == size
    found.frombytes(data)
    return found


LEAVES: dict[int, Any] = {
    5: bytearray,
    6: lambda data: int.from_bytes(data, "little", signed=True),
    7: text,
    8: complex,
    9: moment,
    10: date,
    11: hour,
    12: timedelta,
    13: zone_of,
    14: items_of,
    15: elements,
}
DECODERS: dict[int, Any] = {1: bytes, 2: bytes.decode, 3: unpack, 4: graph, 5: array_of, 6: pickled}
