"""Numbers with their units, and progress in a pipe."""

import pytest

from fastmem.terminal import bytes_text, duration_text, print_table, progress, share_text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (31, "31 ns"),
        (999, "999 ns"),
        (999.6, "1 us"),
        (1_234, "1.23 us"),
        (45_600, "45.6 us"),
        (999_600, "1 ms"),
        (12_300_000, "12.3 ms"),
        (1_500_000_000, "1.5 s"),
        (119_000_000_000, "119 s"),
        (180_000_000_000, "3.0 min"),
        (7_200_000_000_000, "2.0 h"),
        (-1_500, "-1.5 us"),
    ],
)
def test_duration_text(ns: float, text: str) -> None:
    assert duration_text(ns) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (16 << 20, "16.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_bytes_text(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_share_text() -> None:
    assert share_text(1, 3) == "33.3 %"
    assert share_text(0, 0) == "-"


def test_progress_in_a_pipe_is_a_line_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("working", 8) as show:
        for done in range(9):
            show(done, f"{done} done")
    assert capsys.readouterr().out.splitlines() == [
        "working: 0 %  0 done",
        "working: 25 %  2 done",
        "working: 50 %  4 done",
        "working: 75 %  6 done",
        "working: 100 %  8 done",
    ]


def test_progress_without_a_total_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("working", None) as show:
        show(5, "busy")
    assert capsys.readouterr().out == ""


def test_a_table_in_a_pipe_is_wide_enough_for_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Title", ["", "first", "second"], [["row", "1" * 30, "2" * 30]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "Title"
    assert any("1" * 30 in line and "2" * 30 in line for line in lines)
