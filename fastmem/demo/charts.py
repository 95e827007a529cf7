"""The four charts of the report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fastmem.demo.ledger import COMPUTED, SOURCES, TIERS, Track
from fastmem.demo.plot import Plot, nice_step
from fastmem.demo.run import Outcome
from fastmem.terminal import duration_text

__all__ = ["NAMES", "answers_over_time", "bytes_over_time", "latencies", "micro", "time_saved"]

NAMES = {"l1": "L1 hot", "l2": "L2 warm", "l3": "L3 cold", COMPUTED: "computed"}
MOMENTS = 50
BINS_A_DECADE = 12
ROW_PX = 78
MIB = 1 << 20
S = 1e9


def micro(text: str) -> str:
    """A duration as a page shows it; the terminal's may have to do with ASCII."""
    return text.replace(" us", " µs")


def answers_over_time(outcome: Outcome) -> str:
    """Stacked columns: the share of each source in the accesses of each moment."""
    end_s = outcome.ended / S
    plot = Plot("Who answered, over time", x=(0, end_s), y=(0, 1))
    plot.y_axis([(share / 4, f"{25 * share} %") for share in range(5)], "share of accesses")
    _shade_kill(outcome, plot)
    width_s = end_s / MOMENTS
    counts = {name: _per_moment(outcome.ledger.tracks[name], outcome) for name in SOURCES}
    for moment in range(MOMENTS):
        total = sum(counts[name][moment] for name in SOURCES)
        base, start_s = 0.0, moment * width_s
        for name in SOURCES:
            share = counts[name][moment] / total if total else 0
            if share:
                hint = f"{start_s:.1f} s: {NAMES[name]} {counts[name][moment]:,} of {total:,}"
                box = (start_s + width_s * 0.06, start_s + width_s * 0.94, base, base + share)
                plot.box(f"fill {name}", *box, hint)
            base += share
    _time_axis(plot, end_s)
    _mark_kill(outcome, plot)
    for row, name in enumerate(reversed(SOURCES)):
        y = plot.top + 14 + 24 * row
        plot.segment(f"swatch {name}", plot.right + 14, y - 4, plot.right + 26, y - 4)
        plot.text("name", plot.right + 32, y, NAMES[name])
    return plot.svg()


def _per_moment(track: Track, outcome: Outcome) -> list[int]:
    counts = [0] * MOMENTS
    for moment in track.moments:
        counts[min(MOMENTS - 1, moment * MOMENTS // outcome.ended)] += 1
    return counts


def bytes_over_time(outcome: Outcome) -> str:
    """Lines: the bytes that each tier held, with the budgets dashed."""
    samples = outcome.ledger.samples
    budgets = {tier: outcome.stats[tier]["budget"] for tier in ("l1", "l2")}
    held = [sample[tier]["bytes"] for _, sample in samples for tier in TIERS]
    step = nice_step(max([*held, *budgets.values()]) / MIB)
    top = step * math.ceil(max([*held, *budgets.values()]) / MIB / step * 1.02)
    plot = Plot("Bytes held by each tier", x=(0, outcome.ended / S), y=(0, top))
    plot.y_axis([(step * tick, f"{step * tick:g}") for tick in range(round(top / step) + 1)], "MiB")
    _shade_kill(outcome, plot)
    for tier, budget in budgets.items():
        limit = [(0.0, budget / MIB), (outcome.ended / S, budget / MIB)]
        plot.path(f"dashed {tier}", limit, f"{NAMES[tier]}: budget {budget / MIB:g} MiB")
    for tier in TIERS:
        for part in _apart(samples, outcome.killed):
            line = [(moment / S, sample[tier]["bytes"] / MIB) for moment, sample in part]
            plot.path(f"line {tier}", line, NAMES[tier])
    _time_axis(plot, outcome.ended / S)
    _mark_kill(outcome, plot)
    ends = sorted((samples[-1][1][tier]["bytes"] / MIB, tier) for tier in TIERS)
    lowest = plot.bottom + 16.0
    for value, tier in ends:  # names beside the ends of the lines, pushed apart where they meet
        lowest = min(lowest - 16, plot.py(value) + 4)
        plot.text(f"name ink {tier}", plot.right + 8, lowest, f"{NAMES[tier]} {value:.3g}")
    return plot.svg()


def _apart(
    samples: list[tuple[int, dict[str, dict[str, Any]]]], killed: int
) -> tuple[list[tuple[int, dict[str, dict[str, Any]]]], ...]:
    """The samples before and after the kill: no line is drawn across it."""
    return (
        [sample for sample in samples if sample[0] <= killed],
        [sample for sample in samples if sample[0] > killed],
    )


def latencies(outcome: Outcome) -> str:
    """One histogram per source above a common logarithmic axis, with p50 and p99 marked."""
    tracks = {name: track for name, track in outcome.ledger.tracks.items() if len(track)}
    low = math.floor(math.log10(max(1, min(min(track.latencies) for track in tracks.values()))))
    high = math.ceil(math.log10(max(max(track.latencies) for track in tracks.values()) + 1))
    rows = len(tracks)
    plot = Plot(
        "Latency of an access, by who answered",
        x=(low, high),
        y=(0, rows),
        height=ROW_PX * rows + 56,
        left=100,
        right=40,
        top=8,
        bottom=48,
    )
    decades = [(float(d), micro(duration_text(10.0**d))) for d in range(low, high + 1)]
    plot.x_axis(decades, "time of one access (logarithmic)", grid=True)
    for row, (name, track) in enumerate(tracks.items()):
        base = rows - 1 - row
        plot.path(f"fill {name}", _outline(track, low, high, base), NAMES[name], close=True)
        plot.segment("axis", plot.left, plot.py(base), plot.right, plot.py(base))
        plot.text("name", plot.left - 10, plot.py(base) - 22, NAMES[name], "end")
        plot.text("tick", plot.left - 10, plot.py(base) - 6, f"{len(track):,} times", "end")
        for label, share, anchor, shift in (("p50", 0.5, "end", -5), ("p99", 0.99, "start", 5)):
            value = track.percentile(share)
            if value is not None:
                x = plot.px(math.log10(max(1, value)))
                plot.segment("mark", x, plot.py(base + 0.86), x, plot.py(base))
                text = f"{label} {micro(duration_text(value))}"
                if x > plot.right - 60:
                    anchor, shift = "end", -5
                plot.text("value", x + shift, plot.py(base + 0.86) + 8, text, anchor)
    return plot.svg()


def _outline(track: Track, low: int, high: int, base: float) -> Iterator[tuple[float, float]]:
    """The outline of a histogram whose highest bin reaches 0.7 above *base*."""
    counts = [0] * ((high - low) * BINS_A_DECADE)
    for latency in track.latencies:
        place = int((math.log10(max(1, latency)) - low) * BINS_A_DECADE)
        counts[min(place, len(counts) - 1)] += 1
    yield low, base
    for place, count in enumerate(counts):
        height = base + 0.7 * count / max(counts)
        yield low + place / BINS_A_DECADE, height
        yield low + (place + 1) / BINS_A_DECADE, height
    yield high, base


def time_saved(outcome: Outcome) -> str:
    """Two bars: what the accesses would have cost without a memory, and what they did cost."""
    ledger = outcome.ledger
    without = [("computing", COMPUTED, ledger.computing), ("avoided", "saved", ledger.avoided)]
    spent = [
        ("computing", COMPUTED, ledger.computing),
        ("storing and looking up", "l2", ledger.storing + ledger.looking),
    ]
    longest = sum(ns for _, _, ns in without) / S
    step = nice_step(longest)
    plot = Plot(
        "Time the accesses took", x=(0, longest * 1.02), y=(0, 2), height=190, left=150, top=6
    )
    ticks = [(step * tick, f"{step * tick:g}") for tick in range(int(longest / step) + 1)]
    plot.x_axis(ticks, "seconds", grid=True)
    for base, title, pieces in ((1, "without a memory", without), (0, "with fastmem", spent)):
        plot.text("name", plot.left - 10, plot.py(base + 0.5) + 4, title, "end")
        start = 0.0
        for label, kind, ns in pieces:
            hint = f"{label}: {micro(duration_text(ns))}"
            plot.box(f"fill {kind}", start, start + ns / S, base + 0.22, base + 0.78, hint)
            start += ns / S
        total = micro(duration_text(sum(ns for _, _, ns in pieces)))
        plot.text("value", plot.px(start) + 6, plot.py(base + 0.5) + 4, total)
    return plot.svg()


def _time_axis(plot: Plot, end_s: float) -> None:
    step = nice_step(end_s, 8)
    ticks = [(step * tick, f"{step * tick:g}") for tick in range(int(end_s / step) + 1)]
    plot.x_axis(ticks, "seconds since the start")


def _shade_kill(outcome: Outcome, plot: Plot) -> None:
    """The time from the kill until the accesses went on: reopening and verifying."""
    hint = "reopened, and every acknowledged value read back and compared"
    low, high = plot.y_range
    plot.box("pause", outcome.killed / S, outcome.resumed / S, low, high, hint)


def _mark_kill(outcome: Outcome, plot: Plot) -> None:
    x = plot.px(outcome.killed / S)
    plot.segment("kill", x, plot.top - 6, x, plot.bottom)
    plot.text("kill-name", x, plot.top - 10, "kill -9", "middle")
