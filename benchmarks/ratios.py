"""``python -m benchmarks.ratios``: fastmem beside its peers, each row with its ratio and its bar.

    python -m benchmarks.ratios                     every row, about ten minutes
    python -m benchmarks.ratios --quick             every row, smaller, about a minute
    python -m benchmarks.ratios --only 'l1.*'       rows by name (shell pattern, or part of a name)
    python -m benchmarks.ratios --json out.json     the raw rounds, versions and machine facts
    python -m benchmarks.ratios --page docs/ratios.md   the table as a page

Exit status: 0 also when bars are missed (a shared machine must not fail a build), 1 when a row
could not be measured because something raised, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks import (
    report,
    rows_footprint,
    rows_growth,
    rows_l1,
    rows_l2,
    rows_l3,
    rows_memoize,
    rows_open,
    rows_shared,
    rows_tiered,
    rows_values,
)
from benchmarks.rows import ERROR, FULL, QUICK, Result, Row, Scale, Scene, run_row

ROWS: Final = (
    *rows_l1.ROWS,
    *rows_footprint.ROWS,
    *rows_growth.ROWS,
    *rows_memoize.ROWS,
    *rows_l2.ROWS,
    *rows_shared.ROWS,
    *rows_values.ROWS,
    *rows_open.ROWS,
    *rows_tiered.ROWS,
    *rows_l3.ROWS,
)


def choose(pattern: str | None) -> list[Row]:
    """The rows whose name contains ``pattern`` or matches it as a shell pattern."""
    if pattern is None:
        return list(ROWS)
    return [r for r in ROWS if pattern in r.name or fnmatch.fnmatch(r.name, pattern)]


def run(rows: Iterable[Row], scale: Scale, directory: Path) -> Iterable[Result]:
    """Results as they come; rows of one scene share fixtures and must be neighbours."""
    for _, neighbours in itertools.groupby(rows, key=lambda row: row.scene):
        with Scene(scale, directory) as scene:
            for row in neighbours:
                yield run_row(row, scene)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="smaller data, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw rounds here")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table here too")
    parser.add_argument("--only", metavar="PATTERN", help="rows by name")
    parser.add_argument("--list", action="store_true", help="print the row names and bars")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="where stores are put (default: the temp dir)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, *, scale: Scale | None = None) -> int:
    arguments = _arguments(argv)
    rows = choose(arguments.only)
    if not rows:
        print(f"no row matches {arguments.only!r}", file=sys.stderr)
        return 2
    if arguments.list:
        for row in rows:
            print(report.describe(row))
        return 0
    scale = scale or (QUICK if arguments.quick else FULL)
    facts = report.machine_facts(scale)
    print(report.heading(facts), flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="fastmem-bench-", dir=arguments.dir) as directory:
        for result in run(rows, scale, Path(directory)):
            results.append(result)
            print(report.lines(result), flush=True)
    print(report.totals(results))
    if arguments.json:
        report.write_json(arguments.json, facts, results)
    if arguments.page:
        report.write_page(arguments.page, facts, results)
    return int(any(check.verdict == ERROR for r in results for check in r.checks))


if __name__ == "__main__":
    sys.exit(main())
