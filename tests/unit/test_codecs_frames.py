"""Compressed frames: shrink or leave, dictionaries by number, and no bomb is ever inflated."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fastmem.codecs import FrameCompressor, dictionary_identity, train_dictionary
from fastmem.errors import SerializationError
from tests.crowd import together


def sessions(count: int, seed: int = 1) -> list[bytes]:
    """Session-like records: one structure, different content."""
    dice = random.Random(seed)
    return [
        json.dumps(
            {
                "session_id": f"{dice.getrandbits(64):016x}",
                "user": {"name": f"user-{dice.randrange(1000)}", "roles": ["reader", "editor"]},
                "messages": [
                    {"role": "assistant", "content": f"answer {dice.random()}", "tokens": 12}
                    for _ in range(dice.randrange(1, 8))
                ],
            }
        ).encode()
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def dictionary() -> bytes:
    trained = train_dictionary(sessions(2000))
    assert trained is not None
    return trained


@pytest.fixture(scope="module")
def compressor(dictionary: bytes) -> FrameCompressor:
    compressor = FrameCompressor()
    compressor.add_dictionary(7, dictionary)
    return compressor


@given(st.binary(max_size=64), st.integers(0, 2000), st.sampled_from([0, 7]))
def test_a_frame_gives_back_its_body_or_there_is_none(
    compressor: FrameCompressor, chunk: bytes, count: int, dictionary_id: int
) -> None:
    body = chunk * count
    frame = compressor.compress(memoryview(body), dictionary_id)
    if frame is None:
        return
    assert len(frame) <= len(body) - len(body) // 16
    assert compressor.decompress(memoryview(frame), dictionary_id, len(body)) == body


def test_repetitive_bodies_are_compressed_and_others_left() -> None:
    compressor = FrameCompressor()
    assert compressor.compress(bytes(64)) is not None
    assert compressor.compress(bytes(63)) is None
    assert compressor.compress(b"") is None
    assert compressor.compress(random.Random(1).randbytes(100_000)) is None


def test_a_frame_occupies_no_more_than_its_length() -> None:
    body = bytes(1_000_000)
    compressor = FrameCompressor()
    tracemalloc.start()
    try:
        frame = compressor.compress(body)
        assert frame is not None
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_a_dictionary_earns_its_place(compressor: FrameCompressor) -> None:
    body = sessions(1, seed=99)[0]
    plain, trained = compressor.compress(body, 0), compressor.compress(body, 7)
    assert trained is not None
    assert len(trained) * 2 < len(plain or body)


def test_dictionaries_are_kept_apart(dictionary: bytes, compressor: FrameCompressor) -> None:
    other = train_dictionary(sessions(2000, seed=2))
    assert other is not None
    assert dictionary_identity(other) != dictionary_identity(dictionary)
    both = FrameCompressor()
    both.add_dictionary(7, other)
    both.add_dictionary(8, dictionary)
    assert both.dictionary_ids == (7, 8)
    body = sessions(1, seed=3)[0]
    frame = compressor.compress(body, 7)
    assert frame is not None
    assert both.decompress(frame, 8, len(body)) == body
    for wrong in (0, 7):
        with pytest.raises(SerializationError, match="dictionary identity"):
            both.decompress(frame, wrong, len(body))
    with pytest.raises(SerializationError, match="dictionary 9, which is missing"):
        both.decompress(frame, 9, len(body))
    with pytest.raises(KeyError):
        both.compress(body, 9)


def test_adding_a_dictionary_twice(dictionary: bytes) -> None:
    compressor = FrameCompressor()
    compressor.add_dictionary(7, dictionary)
    compressor.add_dictionary(7, dictionary)
    other = train_dictionary(sessions(2000, seed=2))
    assert other is not None
    with pytest.raises(ValueError, match="already another"):
        compressor.add_dictionary(7, other)
    assert compressor.dictionary_ids == (7,)


@pytest.mark.parametrize("dictionary_id", [-1, 0, 2**32])
def test_numbers_of_dictionaries_are_32_bits(dictionary: bytes, dictionary_id: int) -> None:
    with pytest.raises(ValueError, match=r"1 to 2\*\*32 - 1"):
        FrameCompressor().add_dictionary(dictionary_id, dictionary)


@pytest.mark.parametrize("data", [b"", b"raw content" * 100, struct.pack("<II", 0xEC30A437, 5)])
def test_other_bytes_are_no_dictionary(data: bytes) -> None:
    with pytest.raises(ValueError, match="trained zstd dictionary"):
        dictionary_identity(data)
    compressor = FrameCompressor()
    with pytest.raises(ValueError, match="trained zstd dictionary"):
        compressor.add_dictionary(1, data)
    assert compressor.dictionary_ids == ()


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [b""] * 100,
        [b"a"] * 100,
        [b"abcdefgh" * 1000],
        sessions(15),
        [random.Random(i).randbytes(8) for i in range(50)],
    ],
    ids=["none", "empty", "tiny", "one", "few", "short"],
)
def test_too_little_to_learn_from(samples: list[bytes]) -> None:
    assert train_dictionary(samples) is None


@given(st.lists(st.binary(max_size=300), min_size=10, max_size=80), st.integers(0, 5000))
def test_training_gives_a_usable_dictionary_or_none(samples: list[bytes], size: int) -> None:
    trained = train_dictionary(samples, size)
    if trained is not None:
        assert len(trained) <= size
        FrameCompressor().add_dictionary(dictionary_identity(trained), trained)


@pytest.mark.parametrize("level", [0, -1, 23])
def test_levels_out_of_range_are_refused(level: int) -> None:
    with pytest.raises(ValueError, match=rf"level must be at (least 1|most 22), not {level}"):
        FrameCompressor(level)


@pytest.mark.parametrize("level", [1, 3, 9, 19, 22])
def test_frames_of_every_level_and_size_are_read(level: int, dictionary: bytes) -> None:
    compressor = FrameCompressor(level)
    compressor.add_dictionary(7, dictionary)
    for dictionary_id in (0, 7):
        for size in (64, 1000, 300_000, 3_000_000):
            body = (b"some words, " * (size // 12 + 1))[:size]
            frame = compressor.compress(body, dictionary_id)
            assert frame is not None
            assert compressor.decompress(frame, dictionary_id, size) == body


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(200_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(SerializationError, match="declares 200,000,000 bytes"):
            FrameCompressor().decompress(bomb, 0, 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_frames_that_hide_their_size_or_ask_for_a_large_window_are_refused() -> None:
    compressor = FrameCompressor()
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(SerializationError, match="declares"):
        compressor.decompress(hidden, 0, 1000)
    # magic, a header without "single segment" that declares 256 bytes more than a u16 of 0,
    # and a window of 2**41
    windowed = struct.pack("<IBBH", 0xFD2FB528, 0x40, 31 << 3, 0) + b"\x01\x00\x00"
    with pytest.raises(SerializationError):
        compressor.decompress(windowed, 0, 1000)


def test_a_frame_that_declares_too_little_is_refused() -> None:
    frame = bytearray(FrameCompressor().compress(bytes(200)) or b"")
    assert frame[5] == 200
    frame[5] = 100
    with pytest.raises(SerializationError, match="damaged"):
        FrameCompressor().decompress(bytes(frame), 0, 200)


def test_threads_share_a_compressor(dictionary: bytes) -> None:
    compressor = FrameCompressor()
    compressor.add_dictionary(7, dictionary)

    def work(seed: int) -> None:
        for body in sessions(150, seed):
            for dictionary_id in (0, 7):
                frame = compressor.compress(body, dictionary_id)
                assert not frame or compressor.decompress(frame, dictionary_id, len(body)) == body

    assert together(partial(work, seed) for seed in range(4)) == []
