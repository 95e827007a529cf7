"""Bars and verdicts of the ratio table, and the table's own completeness."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmarks import report, rows
from benchmarks.ratios import ROWS
from benchmarks.rows import FASTEST, OURS, Bar, Row
from benchmarks.timing import Absent


def row(*bars: Bar, no_bar: str = "", not_peers: frozenset[str] = frozenset()) -> Row:
    return Row("a.row", "title", "ns", "s", lambda _: {}, "dict", bars, no_bar, None, not_peers)


def judged(*bars: Bar, ours: list[float] | None = None, **peers: list[float]) -> list[rows.Check]:
    measures = {**({OURS: ours} if ours else {}), **peers}
    absent = {} if ours else {OURS: "not built"}
    return rows.judge(row(*bars, not_peers=frozenset({"dict"})), measures, absent)


@pytest.mark.parametrize(
    ("limit", "at_least", "verdict"),
    [(1.5, False, "ok"), (1.49, False, "MISS"), (1.5, True, "ok"), (1.51, True, "MISS")],
)
def test_a_ratio_is_held_against_its_bar(limit: float, at_least: bool, verdict: str) -> None:
    [check] = judged(Bar(limit, "dict", at_least), ours=[15.0, 30.0], dict=[10.0, 20.0])
    assert (check.value, check.verdict) == (1.5, verdict)


def test_a_bar_without_reference_is_on_the_measure_itself() -> None:
    [reached, missed] = judged(Bar(80.0), Bar(60.0), ours=[70.0])
    assert (reached.value, reached.verdict, missed.verdict) == (70.0, "ok", "MISS")


def test_the_fastest_peer_is_found_and_the_yardstick_is_not_one() -> None:
    [check] = judged(Bar(1.0, FASTEST), ours=[9.0], dict=[1.0], slow=[30.0], quick=[10.0])
    assert (check.reference, check.verdict) == ("quick", "ok")


def test_a_bar_on_several_takes_the_fastest_of_those() -> None:
    [check] = judged(Bar(1.0, ("a", "b", "gone")), ours=[9.0], a=[30.0], b=[8.0], c=[1.0])
    assert (check.reference, check.verdict) == ("b", "MISS")
    [absent] = judged(Bar(1.0, ("a", "b")), ours=[9.0], c=[1.0])
    assert (absent.reference, absent.verdict) == ("a or b", "absent")


def test_every_bar_of_a_row_gets_a_verdict() -> None:
    checks = judged(Bar(0.5, "dict"), Bar(2.0, "dict"), ours=[10.0], dict=[10.0])
    assert [check.verdict for check in checks] == ["MISS", "ok"]


def test_what_cannot_be_measured_is_absent_with_the_reason() -> None:
    assert [(c.verdict, c.why) for c in judged(Bar(1.0, "dict"), dict=[1.0])] == [
        ("absent", "not built")
    ]
    [no_reference] = rows.judge(row(Bar(1.0, "lmdb")), {OURS: [1.0]}, {"lmdb": "no lmdb"})
    assert (no_reference.verdict, no_reference.why) == ("absent", "lmdb: no lmdb")
    [no_peer] = judged(Bar(1.0, FASTEST), ours=[1.0], dict=[1.0])
    assert no_peer.verdict == "absent"


def test_a_row_without_a_bar_shows_its_ratio() -> None:
    measures = {OURS: [3.0], "dict": [2.0]}
    [check] = rows.judge(row(no_bar="none named"), measures, {})
    assert (check.value, check.verdict, check.why) == (1.5, "no bar", "none named")


def test_a_contender_that_raises_is_an_error_in_the_table(tmp_path: Path) -> None:
    def broken(_: rows.Scene) -> rows.Field:
        raise OSError("disk on fire")

    failing = Row("a.row", "title", "ns", "s", broken, "dict", (Bar(1.0, "dict"),))
    with rows.Scene(rows.QUICK, tmp_path) as scene:
        result = rows.run_row(failing, scene)
    [check] = result.checks
    assert (check.verdict, check.why) == ("ERROR", "OSError: disk on fire")
    assert "ERROR: OSError: disk on fire" in report.lines(result)


def test_absent_peers_stay_in_the_table(tmp_path: Path) -> None:
    fielded = Row(
        "a.row",
        "title",
        "ns",
        "s",
        lambda _: {OURS: lambda: 2.0, "dict": lambda: 4.0, "lmdb": Absent("not installed")},
        "dict",
        (Bar(1.0, "dict"),),
    )
    with rows.Scene(rows.QUICK, tmp_path) as scene:
        line = report.lines(rows.run_row(fielded, scene))
    assert "| a.row | 2 ns | 2-2 | dict 4 | 0.5 | <= 1x | ok |" in line
    assert "lmdb: absent, not installed" in line


def test_a_scene_makes_things_once_and_closes_them_last_first(tmp_path: Path) -> None:
    closed: list[str] = []
    with rows.Scene(rows.QUICK, tmp_path) as scene:
        folder = scene.folder()
        made = [scene.once("key", object) for _ in range(2)]
        scene.at_end(lambda: closed.append(f"first, folder there: {folder.is_dir()}"))
        scene.at_end(lambda: closed.append("second"))
    assert made[0] is made[1]
    assert closed == ["second", "first, folder there: True"]
    assert not folder.exists()


@pytest.mark.parametrize("candidate", ROWS, ids=lambda row: row.name)
def test_every_row_has_a_bar_or_says_why_not(candidate: Row) -> None:
    assert bool(candidate.bars) != bool(candidate.no_bar)
    assert candidate.title
    assert all(bar.limit > 0 for bar in candidate.bars)


def test_row_names_are_unique_and_scenes_are_contiguous() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    scenes = [scene for scene, _ in itertools.groupby(row.scene for row in ROWS)]
    assert len(set(scenes)) == len(scenes)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (12.345, "12.3"), (0.0333, "0.0333"), (0.0, "0"), (0.00002, "0.00002")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert report.number(value) == text


def test_totals_count_verdicts_and_name_the_misses() -> None:
    missing = row(Bar(1.0, "dict"), Bar(2.0, "dict"))
    measures = {OURS: [15.0], "dict": [10.0]}
    result = rows.Result(missing, measures, {}, rows.judge(missing, measures, {}))
    text = report.totals([result])
    assert "1 rows: 1 ok, 1 MISS, 0 no bar, 0 absent, 0 ERROR" in text
    assert "MISS a.row: 1.5 of dict, <= 1" in text
