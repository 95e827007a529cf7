"""What a process finds that joins others: files of a newer version, a wall clock that was set."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fastmem import FormatError
from fastmem._core.layout import FORMAT
from tests.children import forked
from tests.crash.directories import (
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)

NEWER = FORMAT + 3
NAMED = rf"format {NEWER}, this version reads up to {FORMAT}"


def make_newer(path: Path, sealed: int) -> None:
    """Raise the format number in a head whose check stands behind `sealed` bytes."""
    head = path.read_bytes()[:sealed]
    head = head[:8] + struct.pack("<I", NEWER) + head[12:]
    patch(path, 0, head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head)))


def bytes_of(at: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(at.glob("l?/*"))}


@pytest.mark.parametrize(
    ("opener", "name"),
    [
        (open_segments, "super"),
        (open_segments, "seg.0"),
        (open_archive, "super"),
        (open_archive, "archive"),
        (open_archive, "cold.0"),
        (open_tiers, "archive"),
    ],
)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "joining"])
@pytest.mark.parametrize("read_only", [False, True], ids=["", "read only"])
def test_a_newer_file_is_refused_and_no_byte_changed(
    private_tmp: Path, opener: Any, name: str, shared: bool, read_only: bool
) -> None:
    with opener(private_tmp) as store:
        store.update({f"k{i}": i for i in range(100)})
        (path,) = private_tmp.glob(f"l?/{name}")
        if not shared:
            store.close()
        kept = path.read_bytes()
        make_newer(path, 48 if name in ("super", "archive") else 56)
        before = bytes_of(private_tmp)
        with pytest.raises(FormatError, match=NAMED) as caught:
            opener(private_tmp, read_only=read_only)
        assert caught.value.filename == str(path)
        after = bytes_of(private_tmp)
        assert [each for each in before if before[each] != after[each]] == []
        patch(path, 0, kept[:64])
        if shared:
            store.put("more", 1)
            store.check()
    with opener(private_tmp) as store:
        assert contents(store) == {f"k{i}": i for i in range(100)} | ({"more": 1} if shared else {})


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_a_clock_stepped_while_two_have_it_open(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, step_s: int
) -> None:
    """Deadlines are counted by the time since the boot, from an anchor that all share."""
    with opener(private_tmp) as store:
        store.put("before", "v", ttl_seconds=3600)
        store.put("short", "v", ttl_seconds=0.05)
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + step_s * 10**9)

        def child() -> str:
            with opener(private_tmp) as other:
                assert engine_of(other).files.attached
                assert other.get("before") == "v"
                other.put("after", "v", ttl_seconds=3600)
                other.put("brief", "v", ttl_seconds=0.05)
                while other.get("brief") is not None or other.get("short") is not None:
                    time.sleep(0.005)
            return "well"

        assert forked(child) == "well"
        for key in ("before", "after") if opener is open_tiers else ():
            assert store.entry(key).ttl == pytest.approx(3600, abs=60)
        assert store.get("short") is store.get("brief") is None
    with opener(private_tmp) as store:
        assert contents(store) == {"before": "v", "after": "v"}
        if opener is open_tiers:
            assert store.entry("after").ttl == pytest.approx(3600, abs=60)
