"""The table and the JSON file of a run."""

from __future__ import annotations

import collections
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import peers
from benchmarks.rows import OURS, VERDICTS, Bar, Check, Result, Row, Scale

SCHEMA: Final = 1
COLUMNS: Final = ("row", "fastmem", "min-max", "against", "ratio", "bar", "verdict", "peers")


def commit() -> str | None:
    """What is measured: the commit checked out here, and whether files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=10", "--dirty= with changes"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def machine_facts(scale: Scale) -> dict[str, Any]:
    """What a reader needs to judge the numbers; nothing that names the machine."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "schema": SCHEMA,
        "mode": scale.name,
        "commit": commit(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpus": usable,
        "versions": peers.versions(),
        "absent": {p.needs: why for p in peers.ALL if (why := peers.why_absent(p))},
    }


def heading(facts: Mapping[str, Any]) -> str:
    """What ran where, and the table's head."""
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items() if v)
    absent = "; ".join(facts["absent"].values()) or "none"
    return "\n".join(
        [
            f"{facts['implementation']} {facts['python']}, {facts['system']} "
            f"{facts['architecture']}, {facts['cpus']} cpus, {facts['mode']} run, "
            f"commit {facts['commit'] or 'unknown'}",
            f"Versions: {versions or 'none'}",
            f"Absent: {absent}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---|---:|---:|---|---:|---:|---|---|",
        ]
    )


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.5f}"


def _bar(bar: Bar | None, unit: str) -> str:
    if bar is None:
        return "-"
    return f"{bar} {unit}" if bar.to is None else f"{bar}x"


def _ratio(check: Check) -> str:
    if check.value is None or (check.bar is not None and check.bar.to is None):
        return "-"
    return number(check.value)


def _peers(result: Result) -> str:
    medians = result.medians
    shown = [f"{n} {number(m)}" for n, m in sorted(medians.items(), key=lambda item: item[1])]
    missing = [f"{n}: absent, {why}" for n, why in result.absent.items() if n != OURS]
    return "; ".join([s for s in shown if not s.startswith(f"{OURS} ")] + missing)


def lines(result: Result) -> str:
    """One table line a bar; the peers stand in the first."""
    unit, medians = result.row.unit, result.medians
    values = result.measures.get(OURS)
    ours = f"{number(medians[OURS])} {unit}" if values else "-"
    spread = f"{number(min(values))}-{number(max(values))}" if values else "-"
    table = []
    for index, check in enumerate(result.checks):
        reference = check.reference or "-"
        if reference in medians:
            reference = f"{reference} {number(medians[reference])}"
        verdict = f"{check.verdict}: {check.why}" if check.why else check.verdict
        cells = [
            result.row.name,
            ours,
            spread,
            reference,
            _ratio(check),
            _bar(check.bar, unit),
            verdict.replace("\n", " ").replace("|", "/"),
            _peers(result) if index == 0 else "",
        ]
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def totals(results: Sequence[Result]) -> str:
    """How many bars were reached, missed and so on; then the misses by name."""
    counts = collections.Counter(check.verdict for r in results for check in r.checks)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    text = [f"\n{len(results)} rows: {said}"]
    for result in results:
        if result.discarded:
            text.append(f"{result.row.name}: {result.discarded} rounds repeated, negative times")
        for check in result.checks:
            if check.verdict == "MISS" and check.value is not None:
                against = f" of {check.reference}" if check.reference else f" {result.row.unit}"
                text.append(f"MISS {result.row.name}: {number(check.value)}{against}, {check.bar}")
    return "\n".join(text)


def describe(row: Row) -> str:
    """A row's name, title and bars, for ``--list``."""
    bars = []
    for bar in row.bars:
        to = " or ".join(bar.to) if isinstance(bar.to, tuple) else bar.to
        bars.append(f"{_bar(bar, row.unit)} of {to}" if to else _bar(bar, row.unit))
    return f"{row.name}: {row.title} [{row.unit}] {'; '.join(bars) or 'no bar: ' + row.no_bar}"


def _check(check: Check) -> dict[str, Any]:
    bar = check.bar
    return {
        "reference": check.reference,
        "value": check.value,
        "limit": bar.limit if bar else None,
        "at_least": bar.at_least if bar else None,
        "verdict": check.verdict,
        "why": check.why,
    }


def as_json(facts: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """The whole run: facts, and each row's raw rounds in the row's unit."""
    return {
        **facts,
        "rows": [
            {
                "name": r.row.name,
                "title": r.row.title,
                "unit": r.row.unit,
                "rounds": r.measures,
                "discarded": r.discarded,
                "median": r.medians,
                "absent": r.absent,
                "checks": [_check(check) for check in r.checks],
            }
            for r in results
        ],
    }


def write_json(path: Path, facts: Mapping[str, Any], results: Sequence[Result]) -> None:
    path.write_text(json.dumps(as_json(facts, results), indent=1) + "\n")


def write_page(path: Path, facts: Mapping[str, Any], results: Sequence[Result]) -> None:
    """The run as a Markdown page, the misses included."""
    about, versions, absent, *head = heading(facts).splitlines()
    text = [
        "# The ratio table",
        "",
        f"Written by `python -m benchmarks.ratios --page FILE`: {about}. {versions}. {absent}.",
        "",
        "How it is measured, and what the columns and rows are: [benchmarks.md](benchmarks.md).",
        "",
        *head[1:],
        *map(lines, results),
        *totals(results).replace("\nMISS", "\n- MISS").splitlines(),
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
