"""Arguments of a wrong type or size: named with value and limit, before anything is made."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem.storage.files import Directory

Case = tuple[dict[str, Any], type[Exception], str]
BUDGET = 16 << 20
ANY_STORE: list[Case] = [
    ({"path": None}, TypeError, r"path must be .*, not None \(NoneType\)"),
    ({"path": 7}, TypeError, r"path must be .*, not 7 \(int\)"),
    ({"path": b"bytes"}, TypeError, r"path must be .*, not b'bytes' \(bytes\)"),
    ({"path": ""}, ValueError, "path must be the path of a directory, not ''"),
    ({"path": "a\0b"}, ValueError, "path must be the path of a directory"),
    ({"budget_bytes": 32e6}, TypeError, r"budget_bytes must be an int, not 32000000.0 \(float\)"),
    ({"budget_bytes": "16"}, TypeError, r"budget_bytes must be an int, not '16' \(str\)"),
    ({"budget_bytes": True}, TypeError, r"budget_bytes must be an int, not True \(bool\)"),
    ({"budget_bytes": math.nan}, TypeError, "budget_bytes"),
    ({"budget_bytes": 5}, ValueError, "budget_bytes must be at least 16,777,216, not 5"),
    ({"budget_bytes": 1 << 70}, ValueError, "budget_bytes must be at most 2,3"),
    ({"durability": "never"}, ValueError, "durability"),
    ({"durability": None}, ValueError, "durability"),
    ({"serializer": None}, TypeError, "serializer must be .*, not NoneType"),
    ({"allow_pickle": "no"}, TypeError, r"allow_pickle must be True or False, not 'no' \(str\)"),
    ({"secret_key": "x" * 32}, TypeError, "secret_key must be bytes, not str"),
    ({"secret_key": b"short"}, ValueError, "secret_key must have 16 to 64 bytes, not 5"),
    ({"read_only": 0}, TypeError, r"read_only must be True or False, not 0 \(int\)"),
]
LEVELS: list[Case] = [
    ({"level": 1.5}, TypeError, r"level must be an int, not 1.5 \(float\)"),
    ({"level": True}, TypeError, r"level must be an int, not True \(bool\)"),
    ({"level": None}, TypeError, "level must be an int"),
    ({"level": 0}, ValueError, "level must be at least 1, not 0"),
    ({"level": 99}, ValueError, "level must be at most 22, not 99"),
]


def sizes(name: str) -> list[Case]:
    return [
        ({name: "64"}, TypeError, rf"{name} must be a number, not '64' \(str\)"),
        ({name: True}, TypeError, rf"{name} must be a number, not True \(bool\)"),
        ({name: [1]}, TypeError, rf"{name} must be a number, not \[1\] \(list\)"),
        ({name: math.nan}, ValueError, f"{name} must be a positive, finite number, not nan"),
        ({name: math.inf}, ValueError, f"{name} must be a positive, finite number, not inf"),
        ({name: -1}, ValueError, f"{name} must be a positive, finite number, not -1"),
        ({name: 1e308}, ValueError, f"{name} must be at most .*2,305,.* bytes.*, not 1e[+]308"),
    ]


MEMORY: list[Case] = [
    *(case for case in ANY_STORE if not {"path", "budget_bytes"} & {*case[0]}),
    *LEVELS,
    *sizes("l1_size_mb"),
    *sizes("l2_size_mb"),
    *sizes("l3_size_mb"),
    ({"l1_size_mb": None}, TypeError, "l1_size_mb must be a number, not None"),
    ({"l1_size_mb": 1e-9}, ValueError, r"l1_size_mb must be at least .* \(1 bytes\), not 1e-09"),
    ({"l2_size_mb": 8}, ValueError, r"l2_size_mb must be at least 16 \(16,777,216 bytes\), not 8"),
    ({"l3_size_mb": 8.5}, ValueError, r"l3_size_mb must be at least 16 .*, not 8.5"),
    ({"l2_path": None}, TypeError, "l2_path must be .*, not None"),
    ({"l3_path": b"l3"}, TypeError, "l3_path must be .*, not b'l3'"),
    ({"l3_path": "l2/../l2/"}, ValueError, "same directory"),
    ({"coherent": 1}, TypeError, "coherent must be True or False, not 1"),
    ({"max_stale_s": None}, TypeError, "max_stale_s must be a number, not None"),
    ({"max_stale_s": True}, TypeError, "max_stale_s must be a number"),
    ({"max_stale_s": 0}, ValueError, "max_stale_s must be a positive, finite number, not 0"),
    ({"max_stale_s": math.inf}, ValueError, "max_stale_s must be a positive, finite number"),
    ({"timeout_s": "5"}, TypeError, r"timeout_s must be a number, not '5' \(str\)"),
    ({"timeout_s": True}, TypeError, "timeout_s must be a number"),
    ({"timeout_s": math.nan}, ValueError, "timeout_s must be a positive, finite number, not nan"),
    ({"timeout_s": math.inf}, ValueError, "timeout_s must be a positive, finite number, not inf"),
    ({"timeout_s": 0}, ValueError, "timeout_s must be a positive, finite number, not 0"),
    ({"sizer": 5}, TypeError, "sizer"),
    ({"policy": 7}, ValueError, "policy"),
]  # fmt: skip


def refuses(kind: Any, given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        kind(**given)
    assert type(caught.value) is error
    del caught
    gc.collect()  # a half-made object complains here, and warnings are errors
    assert list(Path().iterdir()) == []


@pytest.fixture
def inside(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(private_tmp)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(("wrong", "error", "text"), ANY_STORE, ids=str)
def test_segment_store(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    refuses(SegmentStore, {"path": "l2", "budget_bytes": BUDGET} | wrong, error, text)


@pytest.mark.usefixtures("inside")
def test_a_segment_store_needs_a_budget() -> None:
    refuses(SegmentStore, {"path": "l2", "budget_bytes": None}, TypeError, "budget_bytes")


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(("wrong", "error", "text"), [*ANY_STORE, *LEVELS], ids=str)
def test_archive(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    refuses(Archive, {"path": "l3"} | wrong, error, text)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(("wrong", "error", "text"), MEMORY, ids=str)
def test_memory(wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    asked = {"l1_size_mb": 1, "l2_path": "l2", "l3_path": "l3"} | wrong
    refuses(TieredMemorySystem, asked, error, text)


@pytest.mark.parametrize("path", [7, b"bytes", None])
def test_a_directory_that_was_never_opened_is_closed_quietly(path: Any) -> None:
    with pytest.raises(TypeError):
        Directory(path)
    gc.collect()


def test_numbers_of_numpy_are_numbers(private_tmp: Path) -> None:
    budget: Any = numpy.int64(BUDGET)
    SegmentStore(private_tmp / "s", budget_bytes=budget).close()
    one: Any = numpy.int32(1)
    size: Any = numpy.float32(16.5)
    with TieredMemorySystem(one, private_tmp / "2", private_tmp / "3", l2_size_mb=size) as memory:
        assert memory.l1_size_bytes == 1 << 20
    level: Any = numpy.int8(5)
    Archive(private_tmp / "a", level=level).close()
