"""``python -m benchmarks.ratios`` end to end, at a tiny scale and with no peer installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers, ratios, rows, rows_footprint, rows_l1, rows_tiered, stores
from benchmarks.rows import OURS, VERDICTS, Scale

TINY = Scale(
    name="tiny",
    rounds=2,
    entries=1200,
    operations=1000,
    counted_entries=5000,
    budget_bytes=4 << 20,
    stores={"100B": (50, 20, 20), "1KB": (2500, 20, 20), "64KB": (4, 4, 2), "1MB": (2, 2, 1)},
    opened_entries=200,
    records=200,
)


def only_ours(known: Callable[[peers.Peer], str | None]) -> Callable[[peers.Peer], str | None]:
    """``why_absent`` as on a machine with the standard library and fastmem alone."""

    def why_absent(peer: peers.Peer) -> str | None:
        if peer.needs and not peer.needs.startswith("fastmem:"):
            return f"{peer.needs} is not installed"
        return known(peer)

    return why_absent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of a run over every row."""
    folder = tmp_path_factory.mktemp("ratios")
    file = folder / "out.json"
    with pytest.MonkeyPatch.context() as patch:
        why = only_ours(peers.why_absent)
        for module in (peers, rows_footprint, rows_l1, rows_tiered, stores):
            patch.setattr(module, "why_absent", why)
        page = folder / "page.md"
        status = ratios.main(
            ["--json", str(file), "--page", str(page), "--dir", str(folder)], scale=TINY
        )
    run: dict[str, Any] = json.loads(file.read_text())
    run["page"] = page.read_text()
    errors = [
        (row["name"], check["why"])
        for row in run["rows"]
        for check in row["checks"]
        if check["verdict"] == "ERROR"
    ]
    assert errors == []
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == ["out.json", "page.md"]
    return run


def test_every_row_runs_with_no_peer_installed(whole: dict[str, Any]) -> None:
    assert [row["name"] for row in whole["rows"]] == [row.name for row in ratios.ROWS]
    assert whole["schema"] == 1
    assert whole["mode"] == "tiny"
    assert set(whole) == {
        *("schema", "mode", "commit", "python", "implementation", "system", "architecture"),
        *("cpus", "versions", "absent", "rows", "page"),
    }
    for row in whole["rows"]:
        assert set(row) == {
            "name",
            "title",
            "unit",
            "rounds",
            "discarded",
            "median",
            "absent",
            "checks",
        }
        assert set(row["median"]) == set(row["rounds"])
        assert OURS in row["rounds"] or row["absent"][OURS]
        assert row["checks"]
        for check in row["checks"]:
            assert check["verdict"] in VERDICTS
            assert check["verdict"] != "absent" or check["why"]


def test_rounds_are_raw(whole: dict[str, Any]) -> None:
    hot = next(row for row in whole["rows"] if row["name"] == "l1.get.hot")
    assert len(hot["rounds"]["dict.get"]) == TINY.rounds
    assert hot["absent"]["lru-dict"] == "lru-dict is not installed"


def test_the_page_has_every_bar_and_says_what_ran(whole: dict[str, Any]) -> None:
    lines = whole["page"].splitlines()
    bars = sum(len(row["checks"]) for row in whole["rows"])
    assert (
        sum(line.startswith(tuple(f"| {row.name} |" for row in ratios.ROWS)) for line in lines)
        == bars
    )
    assert f"tiny run, commit {whole['commit'] or 'unknown'}" in whole["page"]


def test_only_chooses_rows_by_part_and_by_pattern() -> None:
    assert {row.name for row in ratios.choose("l3")} == {row.name for row in ratios.choose("l3.*")}
    assert [row.name for row in ratios.choose("l1.get.hot")] == ["l1.get.hot"]
    assert ratios.choose(None) == list(ratios.ROWS)


def test_an_unknown_row_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios.main(["--only", "no such row"]) == 2
    assert "no such row" in capsys.readouterr().err


def test_list_prints_every_row_with_its_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert ratios.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ratios.ROWS)
    assert lines[0].startswith("l1.get.hot: ")
    assert "<= 1.15x of dict.get" in lines[0]


def test_an_error_in_a_row_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(_: rows.Scene) -> rows.Field:
        raise OSError("disk on fire")

    failing = rows.Row("a.row", "title", "ns", "s", broken, "dict", no_bar="none")
    monkeypatch.setattr(ratios, "ROWS", (failing,))
    assert ratios.main(["--dir", str(tmp_path)], scale=TINY) == 1
    assert "disk on fire" in capsys.readouterr().out
