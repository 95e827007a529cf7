"""``fastmem replay``: the right hits, the right values, clear errors."""

import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from fastmem import cli
from fastmem.errors import ValueTooLargeError
from fastmem.memory import Durability
from fastmem.replay import Values, replay
from fastmem.trace import TraceError, open_trace


class Shelf:
    """A memory of a hundred entries that refuses values above 5,000 bytes."""

    def __init__(self) -> None:
        self.held: OrderedDict[Any, Any] = OrderedDict()
        self.hits = 0

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self.held:
            return default
        self.hits += 1
        self.held.move_to_end(key)
        return self.held[key]

    def put(self, key: Any, value: Any) -> None:
        if len(value) > 5000:
            raise ValueTooLargeError(len(value), 5000)
        self.held[key] = value
        if len(self.held) > 100:
            self.held.popitem(last=False)

    def stats(self) -> Any:
        return {"l1": {"hits": self.hits}}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("key", "size"),
    [("a", 0), ("a", 1), (7, 5000), ("b", 1 << 20), (9, (1 << 20) + 1), (1, 5 << 20)],
)
def test_values_have_their_size_and_are_the_same_each_time(key: Any, size: int) -> None:
    value = Values().of(key, size)
    assert len(value) == size
    assert value == Values().of(key, size)


def test_values_differ_by_key_and_hardly_compress() -> None:
    values = Values()
    assert values.of("a", 100) != values.of("b", 100)
    assert values.of(1, 100) != values.of(2, 100)
    assert len(zlib.compress(values.of("key", 100_000))) > 99_000


def test_the_account_of_a_replay(tmp_path: Path) -> None:
    lines = [f"k{number % 120} {10 + number % 120}" for number in range(240)]
    lines += ["big 6000", "big 6000", "k119 129"]
    memory: Any = Shelf()
    result = replay(memory, open_trace(write(tmp_path, "\n".join(lines))))
    assert result.requests == 243
    assert result.misses == 242  # a loop over more keys than fit never hits under LRU
    assert result.too_large == 2
    assert result.bytes_put == 2 * sum(range(10, 130))
    assert result.bytes_asked == result.bytes_put + 12_000 + 129
    assert result.stats["l1"]["hits"] == 1
    assert memory.held["k119"] == Values().of("k119", 129)


def test_a_limit_stops_early(tmp_path: Path) -> None:
    memory: Any = Shelf()
    path = write(tmp_path, "a\nb\na\nnot a valid line at all\n")
    assert replay(memory, open_trace(path), limit=3).requests == 3


def test_an_empty_trace_is_an_error(tmp_path: Path) -> None:
    memory: Any = Shelf()
    with pytest.raises(TraceError, match="no requests"):
        replay(memory, open_trace(write(tmp_path, "# nothing\n")))


@pytest.mark.parametrize("durability", ["process", "disk", "cache"])
def test_the_command_on_the_real_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], durability: Durability
) -> None:
    from fastmem.memory import TieredMemorySystem

    path = write(tmp_path, "\n".join(f"key{number % 50} 2000" for number in range(500)))
    place = tmp_path / "kept"
    arguments = ["replay", str(path), "--l1-mb", "0.05", "--dir", str(place)]
    assert cli.main([*arguments, "--durability", durability]) == 0
    shown = capsys.readouterr().out
    assert "requests    500 (976.6 KiB)" in shown
    assert "misses      50 (10.0 %), 97.7 KiB put" in shown
    with TieredMemorySystem(
        1, str(place / "cache"), str(place / "archive"), l2_size_mb=64
    ) as memory:
        assert len(memory) == 50
        assert memory.get("key7") == Values().of("key7", 2000)


def test_a_malformed_trace_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write(tmp_path, "a\nb\nbroken line of words\n")
    assert cli.main(["replay", str(path)]) == 2
    told = f"fastmem: {path}: line 3: 4 fields, not a key and perhaps a size\n"
    assert capsys.readouterr().err == told
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.txt"]


@pytest.mark.parametrize(
    "options",
    [
        ["--l1-mb", "0"],
        ["--l1-mb", "nan"],
        ["--l2-mb", "15"],
        ["--l2-mb", "x"],
        ["--l3-mb", "-1"],
        ["--limit", "0"],
        ["--durability", "none"],
    ],
)
def test_impossible_options_are_usage_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Any
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["replay", str(write(tmp_path, "a\n")), *options])
    assert stop.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_budget_too_small_for_what_is_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "a\n")
    arguments = ["replay", str(path), "--dir", str(tmp_path / "kept")]
    assert cli.main([*arguments, "--l2-mb", "2000"]) == 0
    assert cli.main([*arguments, "--l2-mb", "16"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("fastmem: ")
    assert shown.count("\n") == 1
    assert str(tmp_path / "kept") in shown


def test_a_missing_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(tmp_path / "none")]) == 2
    assert "none: No such file or directory" in capsys.readouterr().err
