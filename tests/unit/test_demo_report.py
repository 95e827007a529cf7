"""The report: well-formed, self-contained, and true to the outcome."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fastmem.demo import charts, report
from fastmem.demo.ledger import Ledger, Track
from fastmem.demo.plot import Plot, nice_step
from fastmem.demo.run import Outcome, Settings
from fastmem.demo.tables import HEAD, facts, tier_rows, verdict

S = 1_000_000_000
KEY = ("module", "a.py", 1, 2, 3)


def tiers(used: Any) -> Any:
    common = {"entries": 7, "promotions": 1, "demotions": 2, "evictions": {"size": 3, "cleared": 4}}
    return {
        "l1": {**common, "bytes": used, "budget": 4 << 20},
        "l2": {**common, "bytes": 2 * used, "budget": 16 << 20},
        "l3": {**common, "bytes": 9 * used, "budget": None},
    }


@pytest.fixture
def outcome() -> Outcome:
    ledger = Ledger(started=0)
    ledger.computed(S // 10, 500, 20_000_000, 4000, KEY, "d")
    for step in [*range(2, 50), *range(61, 100)]:
        moment = step * S // 10
        ledger.hit(moment, ("l1", "l2", "l3")[step % 3], 300 * step, KEY, "d")
        ledger.sampled(moment, tiers(step * 30_000))
    return Outcome(
        Settings(Path("/d")),
        ledger,
        modules=1234,
        killed=5 * S,
        reopened=5 * S + 1000,
        resumed=6 * S,
        ended=10 * S,
        opening=2_000_000,
        promised=1,
        recovered=1,
        child_stats=tiers(1),
        stats=tiers(3_000_000),
        clock_ns=45,
    )


class Balance(HTMLParser):
    """Collects the tags used and fails on one closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_balanced_and_needs_nothing_else(outcome: Outcome) -> None:
    page = report.page(outcome)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not balance.seen & {"script", "link", "img", "iframe"}
    assert not balance.links
    for way_out in ("http", "url(", "@import"):
        assert way_out not in page
    assert page.count("<svg") == 4


def test_paths_are_escaped(outcome: Outcome) -> None:
    outcome.settings = Settings(Path("/d"), root=Path("/lib & <co>"))
    assert "/lib &amp; &lt;co&gt;" in report.page(outcome)


def number(part: ElementTree.Element, attribute: str) -> float:
    text = part.get(attribute)
    assert text is not None, f"a {part.tag} without {attribute}"
    return float(text)


@pytest.mark.parametrize(
    "draw",
    [charts.answers_over_time, charts.bytes_over_time, charts.latencies, charts.time_saved],
)
def test_every_chart_is_well_formed_and_inside_its_frame(
    outcome: Outcome, draw: Callable[[Outcome], str]
) -> None:
    svg = ElementTree.fromstring(draw(outcome))
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    assert svg.get("aria-label")
    for text in svg.iter("text"):
        assert 0 <= number(text, "x") <= width
        assert 0 <= number(text, "y") <= height
    for box in svg.iter("rect"):
        assert number(box, "x") + number(box, "width") <= width
        assert number(box, "y") + number(box, "height") <= height


def test_the_kill_is_marked_where_it_was(outcome: Outcome) -> None:
    svg = ElementTree.fromstring(charts.bytes_over_time(outcome))
    (line,) = [part for part in svg.iter("line") if part.get("class") == "kill"]
    frame = Plot("", x=(0, 10), y=(0, 1))
    assert number(line, "x1") == pytest.approx(frame.px(5), abs=0.1)
    lines = [part for part in svg.iter("path") if part.get("class") == "line l2"]
    assert len(lines) == 2  # one before the kill and one after it


def test_the_columns_of_a_moment_add_up(outcome: Outcome) -> None:
    svg = ElementTree.fromstring(charts.answers_over_time(outcome))
    heights: dict[float, list[float]] = {}
    for box in svg.iter("rect"):
        if box.get("class", "").startswith("fill"):
            heights.setdefault(number(box, "x"), []).append(number(box, "height"))
    frame = Plot("", x=(0, 1), y=(0, 1))
    assert len(heights) == charts.MOMENTS - 5  # nothing happened for a second
    for parts in heights.values():
        assert sum(parts) == pytest.approx(frame.bottom - frame.top, abs=0.3)


def test_a_source_that_never_answered_has_no_row_of_latencies(outcome: Outcome) -> None:
    outcome.ledger.tracks["l3"] = Track()
    assert "L3 cold" not in charts.latencies(outcome)


def test_rows_have_the_columns_of_the_head(outcome: Outcome) -> None:
    rows = tier_rows(outcome)
    assert {len(row) for row in rows} == {len(HEAD)}
    cells = {row[0]: row[1:] for row in rows}
    assert cells["answers"] == ["29", "29", "29", "1"]
    assert cells["evictions"] == ["14", "14", "14", ""]  # both processes, all causes
    assert cells["budget"] == ["4.0 MiB", "16.0 MiB", "none", ""]


def test_the_verdict_follows_the_ledger(outcome: Outcome) -> None:
    assert outcome.intact
    assert verdict(outcome).startswith("All 1 values acknowledged before kill -9 were readable")
    outcome.ledger.wrong.append(KEY)
    assert not outcome.intact
    assert verdict(outcome) == "FAILED: 0 of 1 values were lost, 1 wrong values were read."
    outcome.ledger.wrong.clear()
    outcome.ledger.lost.add(KEY)
    outcome.recovered = 0
    assert not outcome.intact
    assert "1 acknowledged, 0 recovered, 1 lost" in dict(facts(outcome))["after kill -9"]
    assert 'class="verdict failed"' in report.page(outcome)


def test_a_tier_that_never_answered_fails_a_full_run(outcome: Outcome) -> None:
    assert outcome.passed
    outcome.ledger.tracks["l3"] = Track()
    assert outcome.silent == ("l3",)
    assert outcome.intact
    assert not outcome.passed
    assert verdict(outcome).endswith("after reopening. FAILED: L3 never answered.")
    assert 'class="verdict failed"' in report.page(outcome)
    outcome.settings = Settings(Path("/d"), seconds=9)
    outcome.ledger.tracks["l2"] = Track()
    assert outcome.passed
    assert verdict(outcome).endswith("L2 and L3 never answered: too short a run.")
    assert "failed" not in report.page(outcome).split("</header>")[0].split("<header>")[1]


def test_write_replaces_the_file(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("x" * 1_000_000)
    report.write(outcome, path)
    assert path.read_text(encoding="utf-8") == report.page(outcome)


@pytest.mark.parametrize(("span", "step"), [(10, 2), (35, 10), (1, 0.2), (0.3, 0.1), (4000, 1000)])
def test_nice_steps(span: float, step: float) -> None:
    assert nice_step(span) == pytest.approx(step)
