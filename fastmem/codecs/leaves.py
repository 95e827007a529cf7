"""Nodes of plain values that are no containers and that MessagePack has no exact form for.

    BYTEARRAY    bytes
    INT          two's complement, little-endian, of an int beyond 64 bits
    TEXT         UTF-8 with surrogates, of a str that holds some
    COMPLEX      real, imaginary
    DATETIME     year, month, day, hour, minute, second, microsecond, fold, zone
    DATE         year, month, day
    TIME         hour, minute, second, microsecond, fold, zone
    TIMEDELTA    days, seconds, microseconds
    TIMEZONE     zone
    ARRAY        type code, bytes an item, the items, little-endian
    NDARRAY      header, elements (as in codec ARRAY, without its alignment)

A zone is nil, or ``[days, seconds, microseconds]`` of the offset and, if it has one, its name as in
TEXT.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from enum import IntEnum
from typing import Any

from fastmem.codecs import arrays

__all__ = ["Kind", "NotPlain", "build", "describe", "is_wide"]


class NotPlain(Exception):
    """An object of a type that has no node."""


class Kind(IntEnum):
    """What a node is; part of the file format."""

    LIST = 0
    TUPLE = 1
    DICT = 2
    SET = 3
    FROZENSET = 4
    BYTEARRAY = 5
    INT = 6
    TEXT = 7
    COMPLEX = 8
    DATETIME = 9
    DATE = 10
    TIME = 11
    TIMEDELTA = 12
    TIMEZONE = 13
    ARRAY = 14
    NDARRAY = 15


def is_wide(atom: object) -> bool:
    """Whether MessagePack has no exact form for this int or str."""
    if type(atom) is int:
        return not -(2**63) <= atom < 2**64
    if type(atom) is str and not atom.isascii():
        try:
            atom.encode()
        except UnicodeEncodeError:
            return True
    return False


def describe(value: Any, kind: type) -> list[Any]:
    """The node of a value of this type. Raises NotPlain."""
    describe_exactly = _DESCRIBE.get(kind)
    if describe_exactly is not None:
        return describe_exactly(value)
    if arrays.is_array(value):
        try:
            header, elements = arrays.pack(value)
        except arrays.Indescribable as error:
            raise NotPlain(str(error)) from error
        return [int(Kind.NDARRAY), header, bytes(elements)]
    raise NotPlain(kind.__qualname__)


def build(node: list[Any]) -> object:
    """A new value of a node; TypeError, ValueError or OverflowError if it is malformed."""
    try:
        make = _BUILD[node[0]]
    except (KeyError, IndexError) as error:
        raise ValueError(f"unknown node {node!r:.60}") from error
    return make(*node[1:])


def _describe_int(number: int) -> list[Any]:
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return [int(Kind.INT), number.to_bytes(size, "little", signed=True)]


def _describe_datetime(at: datetime) -> list[Any]:
    day = (at.year, at.month, at.day)
    clock = (at.hour, at.minute, at.second, at.microsecond, at.fold)
    return [int(Kind.DATETIME), *day, *clock, _zone(at.tzinfo)]


def _describe_time(at: time) -> list[Any]:
    clock = (at.hour, at.minute, at.second, at.microsecond, at.fold)
    return [int(Kind.TIME), *clock, _zone(at.tzinfo)]


def _zone(zone: object) -> list[Any] | None:
    if zone is None:
        return None
    if type(zone) is not timezone:
        raise NotPlain(type(zone).__qualname__)
    offset, *names = zone.__getinitargs__()  # type: ignore[attr-defined]
    if type(offset) is not timedelta or any(type(name) is not str for name in names):
        raise NotPlain("timezone of an offset or a name that is not plain")
    return [offset.days, offset.seconds, offset.microseconds, *map(_surrogate_utf8, names)]


def _surrogate_utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _describe_array(items: array[Any]) -> list[Any]:
    return [int(Kind.ARRAY), items.typecode, items.itemsize, _little_endian(items).tobytes()]


def _little_endian(items: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        items = items[:]
        items.byteswap()
    return items


_DESCRIBE: dict[type, Callable[[Any], list[Any]]] = {
    bytearray: lambda data: [int(Kind.BYTEARRAY), bytes(data)],
    int: _describe_int,
    str: lambda text: [int(Kind.TEXT), _surrogate_utf8(text)],
    complex: lambda number: [int(Kind.COMPLEX), number.real, number.imag],
    datetime: _describe_datetime,
    date: lambda day: [int(Kind.DATE), day.year, day.month, day.day],
    time: _describe_time,
    timedelta: lambda span: [int(Kind.TIMEDELTA), span.days, span.seconds, span.microseconds],
    timezone: lambda zone: [int(Kind.TIMEZONE), _zone(zone)],
    array: _describe_array,
}


def _exact_bytes(data: object) -> bytes:
    # bytearray(10**12) and int.from_bytes([...]) take more than the bytes meant here.
    if type(data) is not bytes:
        raise TypeError(f"{type(data).__name__} in place of bytes")
    return data


def _build_complex(real: float, imaginary: float) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError("parts of a complex that are not floats")
    return complex(real, imaginary)


def _build_zone(described: Any) -> timezone:
    days, seconds, microseconds, *names = described
    offset = timedelta(days, seconds, microseconds)
    if not names:
        return timezone(offset)
    (name,) = names
    return timezone(offset, _build_text(name))


def _build_text(data: object) -> str:
    return _exact_bytes(data).decode("utf-8", "surrogatepass")


def _build_zone_or_none(described: Any) -> timezone | None:
    return None if described is None else _build_zone(described)


def _build_datetime(
    year: int,
    month: int,
    day: int,
    hour: int,
    minute: int,
    second: int,
    microsecond: int,
    fold: int,
    zone: Any,
) -> datetime:
    tzinfo = _build_zone_or_none(zone)
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo, fold=fold)


def _build_time(
    hour: int, minute: int, second: int, microsecond: int, fold: int, zone: Any
) -> time:
    return time(hour, minute, second, microsecond, _build_zone_or_none(zone), fold=fold)


def _build_array(typecode: str, itemsize: int, data: object) -> array[Any]:
    items: array[Any] = array(typecode)
    if items.itemsize != itemsize:
        raise ValueError(f"array of {typecode!r} has items of {items.itemsize} bytes here")
    items.frombytes(_exact_bytes(data))
    return _little_endian(items)


_BUILD: dict[Any, Callable[..., object]] = {
    Kind.BYTEARRAY: lambda data: bytearray(_exact_bytes(data)),
    Kind.INT: lambda data: int.from_bytes(_exact_bytes(data), "little", signed=True),
    Kind.TEXT: _build_text,
    Kind.COMPLEX: _build_complex,
    Kind.DATETIME: _build_datetime,
    Kind.DATE: date,
    Kind.TIME: _build_time,
    Kind.TIMEDELTA: timedelta,
    Kind.TIMEZONE: _build_zone,
    Kind.ARRAY: _build_array,
    Kind.NDARRAY: lambda header, data: arrays.unpack(header, _exact_bytes(data)),
}
