"""Compressed frames: zstd, one frame a record, with trained dictionaries."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import zstandard

from fastmem.arguments import whole
from fastmem.errors import SerializationError

__all__ = ["FrameCompressor", "dictionary_identity", "train_dictionary"]

NO_DICTIONARY = 0
DICTIONARY_BYTES = 112 * 1024

_SMALLEST_BODY = 64
_SMALLEST_DICTIONARY = 256  # zstd's own least
_FEWEST_SAMPLES = 16
_SAMPLES_PER_DICTIONARY = 8  # bytes of samples for each byte of dictionary
_SMALLEST_WINDOW = 1024

_Context = TypeVar("_Context")


class _Pool(Generic[_Context]):
    """Contexts lent to one thread at a time: zstandard releases the GIL inside them.

    ``list.pop`` and ``list.append`` are atomic, so the pool needs no lock. It holds as many
    contexts as threads ever compressed at once.
    """

    __slots__ = ("_idle", "_make")

    def __init__(self, make: Callable[[], _Context]) -> None:
        self._make = make
        self._idle: list[_Context] = []

    def take(self) -> _Context:
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give(self, context: _Context) -> None:
        self._idle.append(context)


class _Coding(NamedTuple):
    """What one dictionary needs: its bytes, the id inside them, and the contexts bound to it."""

    data: bytes
    identity: int
    compressors: _Pool[zstandard.ZstdCompressor]
    decompressors: _Pool[zstandard.ZstdDecompressor]


class FrameCompressor:
    """Compresses bodies into zstd frames, with or without a dictionary; safe for many threads.

    Frames record their size and the identity of their dictionary. Both directions run without the
    GIL. ``level`` is zstd's, 1 to 22.

    >>> compressor = FrameCompressor()
    >>> body = b"a row much like the others; " * 40
    >>> frame = compressor.compress(body, 0)
    >>> len(frame) < 60, compressor.decompress(frame, 0, len(body)) == body
    (True, True)
    """

    def __init__(self, level: int = 3) -> None:
        self.level = whole("level", level, 1, zstandard.MAX_COMPRESSION_LEVEL)
        self._lock = threading.Lock()  # held only while a dictionary is added
        self._codings = {NO_DICTIONARY: self._coding(b"", None)}
        # Asked for a dictionary that a frame needs and that is not here: to add it, if it can.
        self.find_missing: Callable[[int], None] | None = None

    @property
    def dictionary_ids(self) -> tuple[int, ...]:
        """The ids added so far."""
        return tuple(number for number in self._codings if number != NO_DICTIONARY)

    def _coding(self, data: bytes, dictionary: zstandard.ZstdCompressionDict | None) -> _Coding:
        return _Coding(
            data,
            dictionary.dict_id() if dictionary else NO_DICTIONARY,
            _Pool(lambda: zstandard.ZstdCompressor(level=self.level, dict_data=dictionary)),
            _Pool(lambda: zstandard.ZstdDecompressor(dict_data=dictionary)),
        )

    def add_dictionary(self, dictionary_id: int, data: bytes) -> None:
        """Make a dictionary usable under a number from 1 to 2**32 - 1.

        Costs about a millisecond. Adding the same bytes again changes nothing; other bytes under a
        number in use, or bytes that are not a trained dictionary, raise `ValueError`.
        """
        if not 1 <= dictionary_id <= 0xFFFFFFFF:
            raise ValueError(f"dictionary_id must be 1 to 2**32 - 1, not {dictionary_id}")
        data = bytes(data)
        with self._lock:
            known = self._codings.get(dictionary_id)
            if known is not None:
                if known.data != data:
                    raise ValueError(f"dictionary {dictionary_id} is already another one")
                return
            dictionary = _load_dictionary(data)
            coding = self._coding(data, dictionary)
            # Digests both tables now: zstandard would do it at the first use, racing other threads.
            dictionary.precompute_compress(level=self.level)
            compressor = coding.compressors.take()
            decompressor = coding.decompressors.take()
            decompressor.decompress(compressor.compress(bytes(_SMALLEST_BODY)))
            coding.compressors.give(compressor)
            coding.decompressors.give(decompressor)
            self._codings[dictionary_id] = coding

    def compress(
        self, body: bytes | memoryview, dictionary_id: int = NO_DICTIONARY
    ) -> bytes | None:
        """The frame of a body, or None when storing it raw is as good.

        That is when the body is shorter than 64 bytes or the frame saves less than 1/16. A
        dictionary that was never added raises `KeyError`.
        """
        size = len(body)
        coding = self._codings[dictionary_id]
        if size < _SMALLEST_BODY:
            return None
        compressor = coding.compressors.take()
        frame = compressor.compress(body)
        # Not given back after an exception: a context that failed is dropped.
        coding.compressors.give(compressor)
        if len(frame) > size - size // 16:
            return None
        # zstandard shortens the frame without freeing the room it reserved (more than the body).
        return bytes(memoryview(frame))

    def decompress(self, frame: bytes | memoryview, dictionary_id: int, size_limit: int) -> bytes:
        """The body of a frame.

        Raises `SerializationError` when the dictionary was never added, when the frame is damaged,
        or when it declares more than ``size_limit`` bytes (found before anything is allocated).
        """
        coding = self._codings.get(dictionary_id)
        if coding is None and self.find_missing is not None:
            self.find_missing(dictionary_id)
            coding = self._codings.get(dictionary_id)
        if coding is None:
            raise SerializationError(
                f"compressed with dictionary {dictionary_id}, which is missing"
            )
        try:
            declared = zstandard.get_frame_parameters(frame)
        except zstandard.ZstdError as error:
            raise SerializationError(f"not a compressed frame: {error}") from error
        if declared.content_size > size_limit:
            raise SerializationError(
                f"compressed frame declares {declared.content_size:,} bytes, "
                f"more than the {size_limit:,} recorded"
            )
        # A cut frame is decoded through a window of this size, so it too may not exceed the body.
        if declared.window_size > max(declared.content_size, _SMALLEST_WINDOW):
            raise SerializationError(
                f"compressed frame of {declared.content_size:,} bytes asks for a window of "
                f"{declared.window_size:,}"
            )
        if declared.dict_id != coding.identity:
            raise SerializationError(
                f"compressed with dictionary identity {declared.dict_id}, "
                f"not {coding.identity} as dictionary {dictionary_id} has"
            )
        decompressor = coding.decompressors.take()
        try:
            body = decompressor.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise SerializationError(f"damaged compressed frame: {error}") from error
        coding.decompressors.give(decompressor)
        return body


def _load_dictionary(data: bytes) -> zstandard.ZstdCompressionDict:
    try:
        dictionary = zstandard.ZstdCompressionDict(data, zstandard.DICT_TYPE_FULLDICT)
        # A frame names its dictionary by the identity inside it; raw content has none, and the
        # wrong one would go unnoticed.
        if dictionary.dict_id() == NO_DICTIONARY:
            raise ValueError(f"{len(data):,} bytes are not a trained zstd dictionary")
        # Reading the tables is what finds damage.
        zstandard.ZstdDecompressor(dict_data=dictionary).decompress(
            zstandard.ZstdCompressor(dict_data=dictionary).compress(bytes(_SMALLEST_BODY))
        )
    except zstandard.ZstdError as error:
        raise ValueError(f"not a trained zstd dictionary: {error}") from error
    return dictionary


def dictionary_identity(data: bytes) -> int:
    """The 32-bit number inside a trained dictionary, a hash of its content; never 0.

    Raises `ValueError` for anything else than a trained dictionary.
    """
    return _load_dictionary(bytes(data)).dict_id()


def train_dictionary(samples: list[bytes], size: int = DICTIONARY_BYTES) -> bytes | None:
    """A dictionary of at most ``size`` bytes learnt from samples, or None if there is too little.

    That is fewer than 16 samples or less than 2 KiB of them; a dictionary never exceeds an eighth
    of its samples. About 60 ms a megabyte of samples, without the GIL.
    """
    room = min(size, sum(map(len, samples)) // _SAMPLES_PER_DICTIONARY)
    if len(samples) < _FEWEST_SAMPLES or room < _SMALLEST_DICTIONARY:
        return None
    try:
        trained = zstandard.train_dictionary(room, list(samples)).as_bytes()
        _load_dictionary(trained)
    except (zstandard.ZstdError, ValueError):
        return None  # nothing repeats in them
    return trained
