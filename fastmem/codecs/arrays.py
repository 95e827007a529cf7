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
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec.msgpack

if TYPE_CHECKING:
    import numpy as np

    from fastmem._core.windows import Window

__all__ = [
    "ALIGNMENT",
    "Body",
    "Indescribable",
    "copied",
    "decode",
    "elements",
    "encode",
    "is_array",
    "pack",
    "shown_arrays",
    "unpack",
    "view",
]

Body: TypeAlias = "bytes | Window"
_Shown: TypeAlias = "tuple[Any, np.dtype[Any], tuple[int, ...], Literal['C', 'F'], int, int]"

ALIGNMENT = 64

_HEADER_SIZE = Struct("<I")
_FRONT = Struct(f"{ALIGNMENT}s")  # holds the header of nearly every array, with its padding
_MOST_SHOWN = 256
# Fronts that were met -> numpy's type, dtype, shape, order, where the elements begin and end.
shown_arrays: dict[bytes, _Shown] = {}
_SIMPLE = re.compile(r"[<>|][?biufcmMSUV][0-9]*(\[[0-9]*[a-zA-Zμ]+\])?")
_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder().decode


class Indescribable(Exception):
    """The dtype holds objects, metadata or a type of somebody's own."""


def copied(body: Body | memoryview, start: int, end: int) -> bytes:
    """Bytes of a body. OSError where a page of a window is missing."""
    if isinstance(body, (bytes, memoryview)):
        return bytes(body[start:end])
    end = min(end, len(body))
    return body.copy(min(start, end), max(end - start, 0))


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

    dtype, shape, order, size = _parse(header)
    if size != len(elements):
        raise ValueError(f"array of {size:,} bytes in {len(elements):,}")
    array = np.empty(shape, dtype, order)
    if size:
        # As bytes, because numpy's own copy leaves the gaps between fields as they were.
        _flat_bytes(array, order)[:] = np.frombuffer(elements, "u1")
    return array


def _parse(header: object) -> tuple[np.dtype[Any], list[int], Literal["C", "F"], int]:
    """(dtype, shape, order, bytes of the elements) of a header. ValueError or TypeError."""
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
    return dtype, shape, order, prod(shape) * dtype.itemsize


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
    header, start = _split(body)
    return unpack(header, body[start:])


def _split(body: Body | memoryview) -> tuple[object, int]:
    """The header of a body, and where its elements begin."""
    (size,) = _HEADER_SIZE.unpack(copied(body, 0, _HEADER_SIZE.size))
    used = _HEADER_SIZE.size + size
    start = used + -used % ALIGNMENT
    if start > len(body):
        raise ValueError(f"array header of {size:,} bytes in a body of {len(body):,}")
    header = copied(body, _HEADER_SIZE.size, start)
    if any(header[size:]):
        raise ValueError("array header not padded with zeros")
    return _decode_header(header[:size]), start


def view(body: Body) -> np.ndarray[Any, Any]:
    """The array of a body of codec ARRAY, read-only and on the body's own memory, which it keeps.

    As `decode` otherwise, but that a header met before is not read again.
    """
    make, dtype, shape, order, start, end = _shown_by(body)
    if start == end:  # of no bytes, numpy builds no array of every dtype
        array = decode(memoryview(body))
        array.flags.writeable = False
        return array
    made: np.ndarray[Any, Any] = make(shape, dtype, body, start, None, order)
    return made


def elements(body: Body) -> memoryview:
    """The elements in a body of codec ARRAY, as bytes in the order in which they are stored."""
    *_, start, end = _shown_by(body)
    return memoryview(body)[start:end]


def _shown_by(body: Body) -> _Shown:
    """What the header of a body says of it. ValueError when that is not its length."""
    (front,) = _FRONT.unpack(copied(body, 0, ALIGNMENT))
    shown = shown_arrays.get(front)
    if shown is None:
        shown = _read_header(body, front)
    start, end = shown[4:]
    if end != len(body):
        raise ValueError(f"array of {end - start:,} bytes in {len(body) - start:,}")
    return shown


def _read_header(body: Body, front: bytes) -> _Shown:
    """What the header of a body says, remembered if it ends within the body's `front`."""
    import numpy as np

    header, start = _split(body)
    dtype, shape, order, size = _parse(header)
    shown = np.ndarray, dtype, tuple(shape), order, start, start + size
    # Some bytes: else numpy may build no such array. No names: those can be set.
    if size and start == len(front) and dtype.names is None:
        if len(shown_arrays) >= _MOST_SHOWN:
            shown_arrays.clear()
        shown_arrays[front] = shown
    return shown


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
