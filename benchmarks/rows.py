"""What a row of the ratio table is: contenders, the bars it must reach, and the verdict."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from benchmarks import timing
from benchmarks.timing import Absent, Job

T = TypeVar("T")

OURS: Final = "fastmem"
"""The contender that a row is about."""

FASTEST: Final = "fastest peer"
"""A bar's reference: whichever peer had the best median in this run."""

OK, MISS, NO_BAR, ABSENT, ERROR = "ok", "MISS", "no bar", "absent", "ERROR"
VERDICTS: Final = (OK, MISS, NO_BAR, ABSENT, ERROR)


@dataclass(frozen=True)
class Bar:
    """One limit, set in advance: on the ratio to a reference, or on the measure itself."""

    limit: float
    # A contender, the fastest of several, FASTEST of all, or None: the limit is in the row's unit.
    to: str | tuple[str, ...] | None = None
    at_least: bool = False

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:.3g}"


@dataclass(frozen=True)
class Check:
    """The outcome of one bar; ``value`` is the ratio, or the measure when there is no reference."""

    reference: str | None
    value: float | None
    bar: Bar | None
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Scale:
    """How much work a run does. Ratios between scales are not comparable; rounds within one are."""

    name: str
    rounds: int
    entries: int  # residents of an L1 cache
    operations: int  # per timed pass over L1
    counted_entries: int  # for bytes per entry and for the collector
    budget_bytes: int  # that values of all kinds fill several times
    stores: Mapping[str, tuple[int, int, int]]  # size name: entries, reads and writes per pass
    opened_entries: int
    records: int  # session-like records for L3


FULL: Final = Scale(
    name="full",
    rounds=15,
    entries=100_000,
    operations=50_000,
    counted_entries=1_000_000,
    budget_bytes=128 << 20,
    stores={
        "100B": (100_000, 5000, 2000),
        "1KB": (100_000, 5000, 2000),
        "64KB": (1000, 1000, 200),
        "1MB": (64, 100, 20),
    },
    opened_entries=1_000_000,
    records=20_000,
)
QUICK: Final = Scale(
    name="quick",
    rounds=5,
    entries=100_000,
    operations=20_000,
    counted_entries=100_000,
    budget_bytes=16 << 20,
    stores={
        "100B": (5000, 2000, 500),
        "1KB": (5000, 2000, 500),
        "64KB": (200, 200, 40),
        "1MB": (16, 20, 8),
    },
    opened_entries=100_000,
    records=5000,
)


class Scene:
    """Fixtures shared by the rows of one scene, closed together when the scene ends."""

    def __init__(self, scale: Scale, directory: Path) -> None:
        self.scale = scale
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()`` the first time, the same object afterwards."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def at_end(self, close: Callable[[], object]) -> None:
        """Call ``close`` when the scene ends, the last one first."""
        self._stack.callback(close)

    def folder(self) -> Path:
        """A new private directory, removed at the end of the scene."""
        path = Path(tempfile.mkdtemp(dir=self._directory))
        self._stack.callback(shutil.rmtree, path)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._made.clear()
        self._stack.close()


Field = Mapping[str, Job | Absent]
"""The contenders of a row by name."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``reference`` names the contender that the ratio is shown against when there is no bar.
    A row without bars says in ``no_bar`` why it has none.
    """

    name: str
    title: str
    unit: str
    scene: str
    build: Callable[[Scene], Field]
    reference: str
    bars: tuple[Bar, ...] = ()
    no_bar: str = ""
    rounds: int | None = None  # None: the scale's
    not_peers: frozenset[str] = field(default=frozenset())  # shown, but not in FASTEST


@dataclass
class Result:
    """A row as measured."""

    row: Row
    measures: dict[str, list[float]]
    absent: dict[str, str]
    checks: list[Check]
    discarded: int = 0  # rounds in which a contender's time came out negative

    @property
    def medians(self) -> dict[str, float]:
        return {name: statistics.median(values) for name, values in self.measures.items()}


def _reference_of(bar: Bar, row: Row, medians: Mapping[str, float]) -> str | None:
    if isinstance(bar.to, tuple):
        among, otherwise = bar.to, " or ".join(bar.to)
    elif bar.to == FASTEST:
        among = tuple(name for name in medians if name != OURS and name not in row.not_peers)
        otherwise = FASTEST
    else:
        return bar.to
    best = max if bar.at_least else min
    return best(set(among) & set(medians), key=lambda name: medians[name], default=otherwise)


def judge(
    row: Row, measures: Mapping[str, Sequence[float]], absent: Mapping[str, str]
) -> list[Check]:
    """One check a bar; one without a verdict when the row has no bar."""
    if OURS not in measures:
        why = absent.get(OURS, "not measured")
        named = [Check(_reference_of(bar, row, {}), None, bar, ABSENT, why) for bar in row.bars]
        return named or [Check(row.reference, None, None, ABSENT, why)]
    ours = measures[OURS]
    if not row.bars:
        theirs = measures.get(row.reference)
        value = timing.ratio(ours, theirs) if theirs else None
        return [Check(row.reference, value, None, NO_BAR, row.no_bar)]
    medians = {name: statistics.median(values) for name, values in measures.items()}
    checks = []
    for bar in row.bars:
        reference = _reference_of(bar, row, medians)
        if reference is not None and reference not in measures:
            why = f"{reference}: {absent.get(reference, 'none is here')}"
            checks.append(Check(reference, None, bar, ABSENT, why))
            continue
        value = medians[OURS] if reference is None else timing.ratio(ours, measures[reference])
        checks.append(Check(reference, value, bar, OK if bar.reached(value) else MISS))
    return checks


def run_row(row: Row, scene: Scene) -> Result:
    """Build the contenders, run the rounds, judge. A failure is a verdict, not a crash."""
    try:
        contenders = row.build(scene)
        absent = {n: c.reason for n, c in contenders.items() if isinstance(c, Absent)}
        jobs = {n: c for n, c in contenders.items() if not isinstance(c, Absent)}
        with timing.quiet():
            measures, discarded = timing.interleave(jobs, row.rounds or scene.scale.rounds)
    except Exception as error:  # noqa: BLE001 - shown in the table, and the run exits with 1
        why = f"{type(error).__name__}: {error}"
        return Result(row, {}, {}, [Check(row.reference, None, None, ERROR, why)])
    return Result(row, measures, absent, judge(row, measures, absent), discarded)
