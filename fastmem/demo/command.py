"""``fastmem demo``: the whole main job on real files of this machine, with a kill in the middle."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastmem.demo.report import write
from fastmem.demo.run import FULL_S, Outcome, Settings, run
from fastmem.demo.tables import HEAD, facts, tier_rows, verdict
from fastmem.terminal import print_table
from fastmem.workplace import working_directory

__all__ = ["HELP", "add_arguments", "run_command"]

HELP = "show the three tiers at work on real files, through a kill -9"
LEAST_S, MOST_S = 4.0, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cache an expensive computation over real files (parse, tokenize and summarise the modules "
        "of the installed Python standard library) in a memory with small budgets, so that in "
        f"{FULL_S:g} seconds all three tiers answer. A child process does the first half and is "
        "killed with SIGKILL; the directory is reopened, everything the child had acknowledged is "
        "read back and compared, and the work goes on warm. Exit status 0 only when nothing was "
        f"lost, no wrong value was seen and, from {FULL_S:g} seconds on, every tier has answered."
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=FULL_S,
        metavar="N",
        help=f"how long the whole may take, {LEAST_S:g} or more (default: %(default)g); in less, "
        "the colder tiers may have nothing to do yet",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="keep the memory in DIR (default: a temporary directory, removed at the end)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("fastmem-demo.html"),
        metavar="FILE",
        help="where to write the report (default: %(default)s)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="do not remove the temporary directory at the end"
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not LEAST_S <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"{text}: not between {LEAST_S:g} and {MOST_S:g}")
    return seconds


def run_command(args: argparse.Namespace) -> int:
    if args.report.is_dir() or not args.report.resolve().parent.is_dir():
        raise OSError(f"{args.report}: cannot write a report there")
    with working_directory(args.dir, "demo", keep=args.keep) as directory:
        print(f"Analysing the standard library with a memory in {directory}", flush=True)
        outcome = run(Settings(directory, seconds=args.seconds))
        _print(outcome)
        write(outcome, args.report)
        print(f"report: {args.report}")
    return 0 if outcome.passed else 1


def _print(outcome: Outcome) -> None:
    print_table("Who answered", HEAD, tier_rows(outcome))
    for name, text in facts(outcome):
        print(f"  {name:<20} {text}")
    print()
    print(verdict(outcome))
