"""A store knows the key it was made with, and loses nothing to those who come with another."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fastmem import DirectoryRefusedError, ReadOnlyError
from tests.crash.directories import (
    KEY_NOTE_AT,
    forget_key,
    open_archive,
    open_segments,
    open_tiers,
    snapshot,
)

KEY, OTHER = b"a" * 16, b"b" * 32
Opener = Callable[..., Any]
openers = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


def folders(path: Path) -> list[dict[str, tuple[int, int, bytes]]]:
    return [snapshot(folder) for folder in sorted(path.iterdir())]


@openers
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        (KEY, OTHER, "made with another secret_key"),
        (None, KEY, "made without a secret_key"),
        (KEY, None, "made with a secret_key; without it"),
    ],
)
def test_another_key_is_refused(
    private_tmp: Path,
    opener: Opener,
    made: bytes | None,
    given: bytes | None,
    message: str,
    read_only: bool,
) -> None:
    with opener(private_tmp, secret_key=made) as store:
        store["k"] = "v"
    before = folders(private_tmp)
    if given is None and read_only:
        with opener(private_tmp, read_only=True) as store:
            assert store.get("k") == "v"
            with pytest.raises(ReadOnlyError):
                store["k"] = "w"
    else:
        with pytest.raises(DirectoryRefusedError, match=message) as caught:
            opener(private_tmp, secret_key=given, read_only=read_only)
        assert Path(caught.value.filename).parent == private_tmp
    assert folders(private_tmp) == before
    with opener(private_tmp, secret_key=made) as store:
        assert dict(store.items()) == {"k": "v"}


def test_an_archive_is_refused_with_a_new_l2(private_tmp: Path) -> None:
    """And no L2 is made that would know the wrong key."""
    with open_tiers(private_tmp, secret_key=KEY) as memory:
        memory["k"] = os.urandom(9 << 20)
    for file in (private_tmp / "l2").iterdir():
        file.unlink()
    with pytest.raises(DirectoryRefusedError, match="another secret_key"):
        open_tiers(private_tmp, secret_key=OTHER)
    with open_tiers(private_tmp, secret_key=KEY) as memory:
        assert list(memory) == ["k"]
        assert len(memory["k"]) == 9 << 20


@openers
def test_nobody_is_refused_where_the_note_is_lost(
    private_tmp: Path, opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    with opener(private_tmp, secret_key=KEY) as store:
        store["k"] = "v"
    forget_key(private_tmp)
    with opener(private_tmp, secret_key=OTHER) as store:
        assert store.get("k") is None
        assert "without a valid MAC" in caplog.text
    with opener(private_tmp, secret_key=KEY) as store:
        assert store["k"] == "v"


@pytest.mark.parametrize("made", [KEY, None])
def test_reclaim_moves_records_down_whatever_their_mac(
    private_tmp: Path, made: bytes | None
) -> None:
    """20 MB under another key go over 500 values, small, compressed and large ones."""
    values = [os.urandom(1_000) if i % 2 else bytes(1_000) for i in range(500)]
    values[7] = os.urandom(400_000)
    with open_tiers(private_tmp, secret_key=made) as memory:
        for i, value in enumerate(values):
            memory["old", i] = value
    forget_key(private_tmp)
    with open_tiers(private_tmp, secret_key=OTHER) as memory:
        for i in range(400):
            memory[i] = os.urandom(50_000)
        assert memory.stats()["l2"]["demotions"] > 500
        assert memory.stats()["l2"]["errors"]["corrupt"] == 0
    with open_tiers(private_tmp, secret_key=made) as memory:
        assert [memory.get(("old", i)) for i in range(500)] == values
        memory.check()


@pytest.mark.parametrize("key", [None, KEY, OTHER])
def test_the_note_is_what_the_page_says(private_tmp: Path, key: bytes | None) -> None:
    open_tiers(private_tmp, secret_key=key).close()
    for page in (private_tmp / "l2" / "super", private_tmp / "l3" / "archive"):
        content = page.read_bytes()
        check = bytes(16)
        if key is not None:
            uuid = content[16:32]
            check = blake2b(uuid, key=key, digest_size=16, person=b"fastmem store").digest()
        total = struct.pack("<Q", xxhash.xxh3_64_intdigest(check))
        assert content[KEY_NOTE_AT : KEY_NOTE_AT + 24] == check + total
