"""The numbers of a finished demonstration as rows of text, for the terminal and for the report."""

from __future__ import annotations

from fastmem.demo.ledger import COMPUTED, SOURCES, TIERS
from fastmem.demo.run import Outcome
from fastmem.terminal import bytes_text, duration_text, share_text

__all__ = ["HEAD", "facts", "tier_rows", "verdict"]

HEAD = ("", "L1 hot", "L2 warm", "L3 cold", "computed")


def tier_rows(outcome: Outcome) -> list[list[str]]:
    """One row per figure, one column per source of answers (the columns of :data:`HEAD`)."""
    tracks, accesses = outcome.ledger.tracks, outcome.ledger.accesses
    rows = [
        ["answers", *(f"{len(tracks[source]):,}" for source in SOURCES)],
        ["share of accesses", *(share_text(len(tracks[name]), accesses) for name in SOURCES)],
    ]
    for label, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        cells = (duration_text(tracks[source].percentile(share)) for source in SOURCES)
        rows.append([f"latency {label}", *cells])
    held = [outcome.stats[tier] for tier in TIERS]
    rows += [
        ["bytes at the end", *(bytes_text(tier["bytes"]) for tier in held), ""],
        ["budget", *(_budget(tier["budget"]) for tier in held), ""],
        ["entries at the end", *(f"{tier['entries']:,}" for tier in held), ""],
    ]
    rows += [
        [name, *(f"{outcome.count(tier, name):,}" for tier in TIERS), ""]
        for name in ("promotions", "demotions", "evictions")
    ]
    return rows


def _budget(budget: int | None) -> str:
    return "none" if budget is None else bytes_text(budget)


def facts(outcome: Outcome) -> list[tuple[str, str]]:
    """What the table of tiers does not say: the kill, and the time saved."""
    ledger = outcome.ledger
    reads = outcome.promised + sum(len(ledger.tracks[tier]) for tier in TIERS)
    rows = [
        (
            "after kill -9",
            f"{outcome.promised:,} acknowledged, {outcome.recovered:,} recovered, "
            f"{outcome.promised - outcome.recovered:,} lost; "
            f"reopened in {duration_text(outcome.opening)}",
        ),
        ("wrong values", f"{len(ledger.wrong):,} in {reads:,} reads"),
        ("lost at any time", f"{len(ledger.lost):,} of {len(ledger.digests):,} values"),
        (
            "time saved",
            f"{duration_text(ledger.saved)}: hits took "
            f"{duration_text(ledger.avoided - ledger.saved)} for what took "
            f"{duration_text(ledger.avoided)} to compute",
        ),
        (
            "time spent",
            f"{duration_text(ledger.computing)} computing {len(ledger.tracks[COMPUTED]):,} misses, "
            f"{duration_text(ledger.storing)} storing them",
        ),
    ]
    recovery = [
        f"{outcome.stats['l2'].get(name, 0):,} {what}"
        for name, what in (("redone_records", "finished"), ("dropped_records", "dropped"))
    ]
    rows.append(("records at recovery", ", ".join(recovery)))
    if outcome.beyond:
        rows.append(
            ("beyond the promise", f"{outcome.beyond:,} values put but not yet reported, intact")
        )
    return rows


def verdict(outcome: Outcome) -> str:
    """The result in one sentence."""
    if outcome.intact:
        told = (
            f"All {outcome.promised:,} values acknowledged before kill -9 were readable and equal "
            "after reopening."
        )
        if outcome.silent:
            silent = f"{' and '.join(tier.upper() for tier in outcome.silent)} never answered"
            told += f" {silent}: too short a run." if outcome.passed else f" FAILED: {silent}."
        return told
    ledger = outcome.ledger
    return (
        f"FAILED: {len(ledger.lost):,} of {len(ledger.digests):,} values were lost, "
        f"{len(ledger.wrong):,} wrong values were read."
    )
