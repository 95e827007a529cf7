"""What the commands print: progress on the long parts, tables, and numbers with their units.

On a terminal through rich, imported on first use; in a pipe or a file as plain lines.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Draw",
    "Show",
    "bytes_text",
    "clear_screen",
    "counted",
    "duration_text",
    "print_table",
    "progress",
    "share_text",
    "unseen",
    "untold",
]

Show: TypeAlias = Callable[[float, str], None]
"""``show(done, note)``: how much of the total is done, and a few words beside it."""

Draw: TypeAlias = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""`counted` or `unseen`."""

REFRESH_S = 0.1  # redrawn by the caller, not by a thread that would disturb what is being timed
PLAIN_WIDTH = 100


@contextmanager
def progress(title: str, total: float | None) -> Iterator[Show]:
    """Show how far a long part is, from 0 to *total*; cheap enough to be told of every step.

    Without a total the bar only shows that something happens, and a pipe gets no lines.
    """
    if sys.stdout.isatty():
        yield from _bar(title, total)
    else:
        yield from _plain_lines(title, total)


@contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None]]:
    """As `progress`, of a part that tells its total with every step, and may have none at all."""
    with ExitStack() as stack:
        show: Show | None = None

        def told(done: int, total: int) -> None:
            nonlocal show
            if show is None and total:
                show = stack.enter_context(progress(title, total))
            if show is not None:
                show(done, "")

        yield told


@contextmanager
def unseen(_title: str) -> Iterator[Callable[[int, int], None]]:
    """In the place of `counted` where nothing but the answer may be printed."""
    yield lambda _done, _total: None


@contextmanager
def untold() -> Iterator[None]:
    """Nothing of what a command tells itself is logged too."""
    log = logging.getLogger("fastmem")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _bar(title: str, total: float | None) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        auto_refresh=False,
    )
    with bar:
        task = bar.add_task(title, total=total, note="")
        drawn, latest = 0.0, (0.0, "")

        def show(done: float, note: str) -> None:
            nonlocal drawn, latest
            latest = done, note
            now = monotonic()
            if now - drawn >= REFRESH_S:
                drawn = now
                bar.update(task, completed=done, note=note, refresh=True)

        try:
            yield show
        finally:
            bar.update(task, completed=latest[0], note=latest[1])


def _plain_lines(title: str, total: float | None) -> Iterator[Show]:
    told = -1

    def show(done: float, note: str) -> None:
        nonlocal told
        quarter = int(4 * done / total) if total else told
        if quarter > told:
            told = quarter
            print(f"{title}: {25 * quarter} %  {note}".rstrip(), flush=True)

    yield show


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)


def clear_screen() -> None:
    """Begin at the top of a terminal again; elsewhere nothing."""
    if sys.stdout.isatty():
        _console().clear()


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column holds the names of the rows, the others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", no_wrap=bool(index))
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def bytes_text(count: float) -> str:
    """*count* bytes in the binary unit that leaves one to three digits before the point."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration_text(ns: float | None) -> str:
    """*ns* nanoseconds in the unit that fits; ``-`` for an unknown duration."""
    if ns is None:
        return "-"
    for size, unit in ((1.0, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")):
        if abs(ns) < 999.5 * size and ns < 12e10:  # above, three digits would turn to an exponent
            return f"{ns / size:.3g} {unit}"
    return f"{ns / 6e10:.1f} min" if ns < 7.2e12 else f"{ns / 3.6e12:.1f} h"


def share_text(part: float, whole: float) -> str:
    """*part* of *whole* in percent; ``-`` when there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"
