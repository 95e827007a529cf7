"""The report of a demonstration: one HTML file that needs no network and no script."""

from __future__ import annotations

import os
import platform
from html import escape
from pathlib import Path

from fastmem.demo import charts
from fastmem.demo.ledger import TIERS
from fastmem.demo.run import Outcome
from fastmem.demo.tables import HEAD, facts, tier_rows, verdict
from fastmem.terminal import duration_text, share_text

__all__ = ["page", "write"]

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #ffffff; --ink: #1d2126;
  --soft: #59616b; --rule: #dfe2e6; --l1: #c2410c; --l2: #d99a00; --l3: #1668b0;
  --computed: #8a929c; --saved: #3f8f6b; --kill: #b3123b; --pause: #b3123b1f; --good: #1c6b47; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1c2024; --ink: #e8eaed;
  --soft: #a3abb5; --rule: #343a41; --l1: #f2794a; --l2: #ebb93d; --l3: #62aee8;
  --computed: #7b848f; --saved: #5bb98f; --kill: #ff7d98; --pause: #ff7d9826; --good: #6fd3a4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 860px; padding: 40px 20px 64px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 4px; } h2 { font-size: 1.1rem; margin: 0 0 2px; }
p { margin: 0 0 12px; } .soft, figcaption, dt { color: var(--soft); font-size: .9rem; }
.verdict { font-weight: 600; color: var(--good); } .verdict.failed { color: var(--kill); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px;
  margin: 20px 0; }
.figures div, figure, .table { background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 14px 18px; }
.figures b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
figure, .table { margin: 0 0 16px; overflow-x: auto; }
figcaption { margin-bottom: 8px; }
svg { display: block; width: 100%; min-width: 560px; height: auto; font-size: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th:first-child { text-align: left; font-weight: 400; } tr:last-child > * { border-bottom: 0; }
thead th { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 8px 0 0; }
dd { margin: 0; }
text { fill: var(--ink); } .tick, .label { fill: var(--soft); } .name, .value { font-weight: 600; }
.value { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); } .pause { fill: var(--pause); }
.mark { stroke: var(--ink); stroke-width: 1.5; }
.kill { stroke: var(--kill); stroke-width: 2; } .kill-name { fill: var(--kill); font-weight: 600; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.dashed { fill: none; stroke-width: 1.5; stroke-dasharray: 5 4; opacity: .75; }
.swatch { stroke-width: 12; }
.l1 { --tint: var(--l1); } .l2 { --tint: var(--l2); } .l3 { --tint: var(--l3); }
.computed { --tint: var(--computed); } .saved { --tint: var(--saved); }
.fill { fill: var(--tint); } .line, .dashed, .swatch { stroke: var(--tint); }
""".strip()


def write(outcome: Outcome, path: str | os.PathLike[str]) -> None:
    """Write the report to *path*, replacing what is there. Raises ``OSError``."""
    Path(path).write_text(page(outcome), encoding="utf-8")


def page(outcome: Outcome) -> str:
    """The report as HTML."""
    ledger = outcome.ledger
    hits = sum(len(ledger.tracks[tier]) for tier in TIERS)
    figures = [
        (f"{outcome.recovered:,}", f"of {outcome.promised:,} acknowledged values recovered"),
        (share_text(hits, ledger.accesses), f"of {ledger.accesses:,} accesses were hits"),
        (charts.micro(duration_text(ledger.saved)), "of computing saved"),
        (charts.micro(duration_text(outcome.opening)), "to reopen after kill -9"),
    ]
    drawings = [
        (
            "Who answered, over time",
            "Each column is one moment's accesses. After the kill L1 is empty, and L2 and L3 "
            "answer until it has filled again. A gap is one long computation.",
            charts.answers_over_time(outcome),
        ),
        (
            "Latency, by who answered",
            f"Measured around get() alone, including {outcome.clock_ns} ns of reading the clock. "
            "Every value is digested in between, so CPU caches are cold. "
            "A lower tier also turns bytes back into objects. "
            "The last row is the computation that a hit avoids.",
            charts.latencies(outcome),
        ),
        (
            "Bytes held",
            "Dashed lines are budgets; L3 has none here. L1 counts objects in memory, "
            "L2 and L3 count files, which come in whole segments.",
            charts.bytes_over_time(outcome),
        ),
        (
            "Time saved",
            "Grey is computing that was needed in either case, amber is storing and looking up, "
            "green is what each hit would have cost, measured when its value was computed.",
            charts.time_saved(outcome),
        ),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>fastmem demo</title><style>{STYLE}</style></head><body>",
            "<header><h1>fastmem demo</h1>",
            f'<p class="{"verdict" if outcome.passed else "verdict failed"}">',
            f"{escape(verdict(outcome))}</p>",
            f'<p class="soft">{escape(_setting(outcome))}</p></header>',
            '<section class="figures">',
            *(
                f'<div><b>{escape(number)}</b><span class="soft">{escape(label)}</span></div>'
                for number, label in figures
            ),
            "</section>",
            *(
                f"<figure><h2>{title}</h2><figcaption>{caption}</figcaption>{drawing}</figure>"
                for title, caption, drawing in drawings
            ),
            _table(outcome),
            "</body></html>",
            "",
        ]
    )


def _setting(outcome: Outcome) -> str:
    settings = outcome.settings
    return (
        f"Analyses of {outcome.modules:,} modules and their functions below {settings.root}, asked "
        f"for in a skewed, drifting order for {outcome.ended / 1e9:.0f} s. Budgets: L1 "
        f"{settings.l1_size_mb:g} MiB, L2 {settings.l2_size_mb:g} MiB, L3 none. "
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, "
        f"{os.cpu_count()} CPUs."
    )


def _table(outcome: Outcome) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in HEAD)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(charts.micro(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in tier_rows(outcome)
    )
    rest = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(charts.micro(text))}</dd>"
        for name, text in facts(outcome)
    )
    return (
        f'<section class="table"><h2>All figures</h2><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table><dl>{rest}</dl></section>"
    )
