"""Values as bytes and back: which codec a value takes, and what may be read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Literal

import msgspec.msgpack

from fastmem._core import plain
from fastmem._core.sizing import FORM_DIRECT, FORM_OPAQUE, FORM_PLAIN
from fastmem.arguments import flag
from fastmem.codecs import arrays, bytes_like, graph, leaves, pickles, places
from fastmem.codecs.arrays import Body
from fastmem.errors import PickleRefusedError, SerializationError
from fastmem.protocols import Serializer

__all__ = ["FORM_DIRECT", "FORM_OPAQUE", "FORM_PLAIN", "CodecId", "ValueCodec"]


class CodecId(IntEnum):
    """How a body became bytes; part of the file format (u16). A number is never used again."""

    RAW_BYTES = plain.RAW_BYTES  # 1: an exact bytes, as it is
    TEXT = plain.TEXT  # 2: an exact str, as UTF-8
    MSGPACK = plain.MSGPACK  # 3: None, bool, int of 64 bits, float, str, bytes, list, dict
    GRAPH = 4  # any plain value: see graph.py
    ARRAY = 5  # a numpy array without objects: see arrays.py
    PICKLE = 6  # anything else: see pickles.py
    CUSTOM = 7  # what the user's serializer made


_SHOWN_AS: dict[int, str] = {
    CodecId.TEXT: "a str",
    CodecId.MSGPACK: "a value of plain types",
    CodecId.GRAPH: "a value of plain types",
    CodecId.PICKLE: "a pickled object",
    CodecId.CUSTOM: "what a serializer made",
}
_RAW_BYTES, _TEXT, _MSGPACK, _GRAPH, _ARRAY, _PICKLE, _CUSTOM = map(int, CodecId)


def _refuse_extension(code: int, data: memoryview) -> object:
    raise ValueError(f"unknown MessagePack extension {code} of {len(data)} bytes")


# Both hold settings only, so every thread may use them at once.
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode


class ValueCodec(plain.PlainCodec):
    """Turns values into ``(codec_id, body)`` and back; safe to use from any thread.

    ``serializer="auto"`` picks the codec by the value: plain types never go through pickle, other
    objects do while ``allow_pickle`` is true. An object with ``dumps`` and ``loads`` takes every
    value instead; bodies of the other codecs can still be read.

    >>> codec = ValueCodec()
    >>> codec_id, body = codec.encode({"user": 7}, FORM_DIRECT)
    >>> CodecId(codec_id).name, body, codec.decode(codec_id, body)
    ('MSGPACK', b'\\x81\\xa4user\\x07', {'user': 7})
    """

    __slots__ = ("_allow_pickle", "_decoders", "_load_pickle", "_serializer")

    def __init__(
        self,
        serializer: Literal["auto"] | Serializer = "auto",
        *,
        allow_pickle: bool = True,
        views: bool = False,
    ) -> None:
        if isinstance(serializer, str):
            if serializer != "auto":
                raise ValueError(f'serializer must be "auto" or an object, not {serializer!r}')
            self._serializer = None
        elif isinstance(serializer, Serializer):
            self._serializer = serializer
        else:
            raise TypeError(
                f'serializer must be "auto" or an object with dumps and loads, '
                f"not {type(serializer).__name__}"
            )
        self._allow_pickle = flag("allow_pickle", allow_pickle)
        super().__init__(_pack, _unpack, self._serializer is None)
        self._load_pickle = pickles.view if views else pickles.decode
        self._decoders: dict[int, Callable[[Any], object]] = {
            _RAW_BYTES: bytes,
            _TEXT: _decode_text,
            _MSGPACK: _unpack,
            _GRAPH: graph.decode,
            _ARRAY: arrays.view if views else _decode_array,
            _PICKLE: self._decode_pickle,
            _CUSTOM: self._decode_custom,
        }

    # -- encoding -----------------------------------------------------------------------------

    def encode(self, value: object, form: int) -> tuple[int, bytes]:
        """The codec and the body of a value whose form `sizing.measure` told.

        One pass and about one copy. ``form`` is trusted in one respect: a FORM_DIRECT value must
        hold nothing that MessagePack silently takes for something else (tuple, set, bytearray,
        datetime, enum, dataclass, UUID, Decimal, a subclass of a plain type). In all others a
        wrong form costs time. Raises `SerializationError` naming the place inside the
        value, `PickleRefusedError` if it needs pickle and may not.
        """
        if self._serializer is not None:
            return _CUSTOM, self._dumps(self._serializer, value)
        made = self.plain_body(value, form)
        if made is not None:
            return made
        if form == FORM_DIRECT:
            form = FORM_PLAIN  # not so direct; what it is instead, the walk finds out
        if form == FORM_PLAIN or not self._allow_pickle:
            try:
                return self._encode_plain(value)
            except leaves.NotPlain as error:
                if not self._allow_pickle:
                    place, name = places.opaque_place(value) or ("value", str(error))
                    raise PickleRefusedError(
                        f"{name} needs pickle, which allow_pickle=False refuses", place
                    ) from None
        return self._encode_pickle(value)

    def _encode_plain(self, value: object) -> tuple[int, bytes]:
        try:
            if arrays.is_array(value):
                return _ARRAY, arrays.encode(value)  # type: ignore[arg-type]
            return _GRAPH, graph.encode(value)
        except arrays.Indescribable as error:
            raise leaves.NotPlain(str(error)) from error
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            # RuntimeError: changed by another thread while it was read.
            raise SerializationError(f"cannot be encoded: {error}") from error

    def _encode_pickle(self, value: object) -> tuple[int, bytes]:
        try:
            return _PICKLE, pickles.encode(value)
        except MemoryError:
            raise
        except Exception as error:
            place, name = places.unpicklable_place(value)
            raise SerializationError(f"{name} cannot be pickled: {_brief(error)}", place) from error

    def _dumps(self, serializer: Serializer, value: object) -> bytes:
        try:
            body = serializer.dumps(value)
        except MemoryError:
            raise
        except Exception as error:
            raise SerializationError(f"the serializer failed: {_brief(error)}") from error
        if type(body) is bytes:
            return body
        if isinstance(body, (bytes, bytearray, memoryview)):
            return bytes(body)
        raise SerializationError(f"the serializer returned {type(body).__name__}, not bytes")

    # -- decoding -----------------------------------------------------------------------------

    def decode(self, codec_id: int, body: Body | memoryview) -> object:
        """A new value of a body; nothing in it refers to the body's memory, but with ``views`` an
        array does, and large buffers of a pickled object do: they are read-only, and keep it.

        Raises `SerializationError` for an unknown codec, for bytes that are no value and for a
        class that no longer exists; `PickleRefusedError` for a pickle while
        ``allow_pickle=False``. What it allocates is in proportion to the body.
        """
        decoder = self._decoders.get(codec_id)
        if decoder is None:
            raise SerializationError(f"unknown codec {codec_id}")
        try:
            return decoder(body)
        except (SerializationError, MemoryError):
            raise
        except Exception as error:
            raise _malformed(codec_id, body, error) from error

    def bytes_view(self, codec_id: int, body: Body) -> memoryview:
        """The bytes of a value that is bytes, a bytearray, an array.array or a numpy array, as a
        read-only view of the body's memory. SerializationError for any other.
        """
        if codec_id == _RAW_BYTES:
            return memoryview(body)
        found = None
        if codec_id == _ARRAY:
            try:
                found = arrays.elements(body)
            except (OSError, ValueError, TypeError, LookupError, struct.error) as error:
                raise _malformed(codec_id, body, error) from error
        elif codec_id == _GRAPH:
            try:
                found = bytes_like.plain_bytes(body)
            except OSError as error:
                raise _malformed(codec_id, body, error) from error
        if found is None:
            shown = _SHOWN_AS.get(codec_id, f"what codec {codec_id} made")
            raise SerializationError(f"{shown} has no bytes to view; get() returns it")
        return found

    def _decode_pickle(self, body: Body) -> object:
        if not self._allow_pickle:
            raise PickleRefusedError("a pickle, which allow_pickle=False refuses to load")
        return self._load_pickle(body)

    def _decode_custom(self, body: bytes | memoryview) -> object:
        if self._serializer is None:
            raise SerializationError("made by a custom serializer, and none was given")
        return self._serializer.loads(bytes(body))


def _decode_text(body: bytes | memoryview) -> str:
    return str(body, "utf-8")


def _decode_array(body: bytes | memoryview) -> object:
    return arrays.decode(memoryview(body))


def _malformed(codec_id: int, body: Body | memoryview, error: Exception) -> SerializationError:
    return SerializationError(
        f"{CodecId(codec_id).name} body of {len(body):,} bytes: {_brief(error)}"
    )


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error!s:.200}"
