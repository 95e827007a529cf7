"""numpy arrays as bytes: a description of the dtype, then the raw buffer. No pickle, no objects.

Body of codec ARRAY::

    u32, little-endian: length of the header
    header: MessagePack [dtype, shape, "C" or "F"]
    zeros up to the next multiple of 64
    the elements, in that order, to the end of the body

A dtype is described by its string (``"<f8"``), or, when it is made of others, by an array:
``["sub", dtype, shape]``, ``["struct", itemsize, aligned, [[name, dtype, offset, title], ...]]`` or
``["long", string, mantissa bits]``, because what ``<f16`` means differs between processors.
"""

from __future__ import annotations

import re
import sys
from math import prod
from struct import Struct
from typing import TYPE_CHECKING, Any, Literal

import msgspec.msgpack

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ALIGNMENT", "Indescribable", "decode", "encode", "is_array", "pack", "unpack"]

ALIGNMENT = 64

_HEADER_SIZE = Struct("<I")
_SIMPLE = re.compile(r"[<>|][?biufcmMSUV][0-9]*(\[[0-9]*[a-zA-Zμ]+\])?")
_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder().decode


class Indescribable(Exception):
    """The dtype holds objects, metadata or a type of somebody's own."""


def is_array(value: object) -> bool:
    """Whether the value is an exact numpy.ndarray; never imports numpy."""
    numpy = sys.modules.get("numpy")
    # A module still being imported by another thread has no ndarray yet, and so no instances.
    return type(value) is getattr(numpy, "ndarray", None)


def pack(array: np.ndarray[Any, Any]) -> tuple[list[object], bytes | memoryview]:
    """(header, elements): the elements are a flat view of the array where its order allows."""
    order: Literal["C", "F"] = "C"
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        order = "F"
    header = [_describe(array.dtype), list(array.shape), order]
    return header, _flat_bytes(array, order).data if array.nbytes else b""


def unpack(header: object, elements: bytes | memoryview) -> np.ndarray[Any, Any]:
    """A new, writable array. Raises ValueError or TypeError for a header that does not fit."""
    import numpy as np

    if type(header) is not list or len(header) != 3:
        raise ValueError("malformed array header")
    description, shape, order = header
    if type(shape) is not list or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"malformed array shape {shape!r:.60}")
    if order not in ("C", "F"):
        raise ValueError(f"malformed array order {order!r:.60}")
    dtype = _dtype_of(description)
    if dtype.hasobject:
        raise ValueError(f"array of {dtype}, which holds objects")
    size = prod(shape) * dtype.itemsize
    if size != len(elements):
        raise ValueError(f"array of {size:,} bytes in {len(elements):,}")
    array = np.empty(shape, dtype, order)
    if size:
        # As bytes, because numpy's own copy leaves the gaps between fields as they were.
        _flat_bytes(array, order)[:] = np.frombuffer(elements, "u1")
    return array


def _flat_bytes(array: np.ndarray[Any, Any], order: Literal["C", "F"]) -> np.ndarray[Any, Any]:
    """The memory of an array that is contiguous in this order, or of a copy made so."""
    return array.ravel(order).view("u1")


def encode(array: np.ndarray[Any, Any]) -> bytes:
    """The body of codec ARRAY; one copy of the elements."""
    description, elements = pack(array)
    header = _encode_header(description)
    used = _HEADER_SIZE.size + len(header)
    padding = bytes(-used % ALIGNMENT)
    return b"".join((_HEADER_SIZE.pack(len(header)), header, padding, elements))


def decode(body: memoryview) -> np.ndarray[Any, Any]:
    """The array of a body of codec ARRAY; one copy of the elements."""
    (size,) = _HEADER_SIZE.unpack_from(body)
    used = _HEADER_SIZE.size + size
    start = used + -used % ALIGNMENT
    if start > len(body):
        raise ValueError(f"array header of {size:,} bytes in a body of {len(body):,}")
    if any(body[used:start]):
        raise ValueError("array header not padded with zeros")
    return unpack(_decode_header(body[_HEADER_SIZE.size : used]), body[start:])


def _describe(dtype: np.dtype[Any]) -> object:
    description = _description(dtype)
    # The proof, in place of trust in a list of kinds: user-defined dtypes call themselves "V".
    try:
        faithful = _dtype_of(_decode_header(_encode_header(description))) == dtype
    except (TypeError, ValueError) as error:
        raise Indescribable(f"numpy dtype {dtype}") from error
    if not faithful:
        raise Indescribable(f"numpy dtype {dtype}")
    return description


def _description(dtype: np.dtype[Any]) -> object:
    if dtype.hasobject or dtype.metadata is not None:
        raise Indescribable(f"numpy dtype {dtype}")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["sub", _description(base), list(shape)]
    if dtype.fields is not None and dtype.names is not None:
        fields = []
        for name in dtype.names:
            field, offset, *title = dtype.fields[name]
            if type(name) is not str or (title and type(title[0]) is not str):
                raise Indescribable(f"numpy dtype {dtype}")
            fields.append([name, _description(field), offset, *title])
        return ["struct", dtype.itemsize, dtype.isalignedstruct, fields]
    if dtype.char in "gG":
        import numpy as np

        return ["long", dtype.str, int(np.finfo(dtype).nmant)]
    return dtype.str


def _dtype_of(description: Any) -> np.dtype[Any]:
    import numpy as np

    if type(description) is str:
        # numpy's own parser reads far more than its dtypes write: lists, repeats, aliases.
        if not _SIMPLE.fullmatch(description):
            raise ValueError(f"malformed dtype {description!r:.60}")
        return np.dtype(description)
    match description:
        case ["sub", base, list(shape)]:
            return np.dtype((_dtype_of(base), tuple(shape)))
        case ["struct", itemsize, bool(aligned), list(fields)]:
            return np.dtype(
                {
                    "names": [field[0] for field in fields],
                    "formats": [_dtype_of(field[1]) for field in fields],
                    "offsets": [field[2] for field in fields],
                    "titles": [field[3] if len(field) > 3 else None for field in fields],
                    "itemsize": itemsize,
                },
                align=aligned,
            )
        case ["long", str(name), bits]:
            if not re.fullmatch(r"[<>][fc][0-9]+", name) or np.finfo(name).nmant != bits:
                raise ValueError(f"{name} of {bits!r} mantissa bits is not this processor's")
            return np.dtype(name)
    raise ValueError(f"malformed dtype {description!r:.60}")
