"""The check of a whole directory: every byte of it that means something, read and compared.

In the order of `Check.run`: first pages, line by line; segments, their headers and every record,
live or not; entries, each to the last byte of its value; dictionaries; heads of value files, and
files that no record leads to; the index against one made anew from the log; what the parts of an
open store know of each other. Nothing is written, and writers are kept out meanwhile.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from fastmem._core import scan
from fastmem._core.damage import Stretch, stretches
from fastmem._core.layout import (
    HEADER_UNITS,
    LOCATION_MASK,
    PAGE_BYTES,
    SEAL_UNITS,
    SEGMENT_HEADER_BYTES,
    TIER_BIT,
    UNIT_BYTES,
)
from fastmem._core.log import COLD, WARM, Record
from fastmem.errors import FormatError, StoreLockedError
from fastmem.storage.engine import Engine
from fastmem.storage.files import Directory
from fastmem.storage.findings import Findings, key_text, many
from fastmem.storage.first_pages import page_problems
from fastmem.storage.opening import StoreFiles
from fastmem.storage.segments import Segments, read_head, tail_of
from fastmem.storage.strangers import leftovers
from fastmem.storage.symbols import bind_xxh3
from fastmem.storage.values import UNREADABLE, ValueFiles
from fastmem.storage.verification import error_of, file_problems, index_problems
from fastmem.storage.vouching import pointed_to

__all__ = ["Check", "Draw", "Tier", "budget_for", "is_all_of_a_segment", "tiers_of"]

Draw = Callable[[str], AbstractContextManager[Callable[[int, int], object]]]
"""Of the title of a long part, what draws ``(done, total)``."""

SUPERSEDED = "nothing is missed, it was replaced or deleted since"
_ENTRIES_A_LOOK = 512


class Tier(NamedTuple):
    """What there is of a tier."""

    segments: Segments
    values: ValueFiles


class Check:
    """One check of one store. `run` returns what it found.

    FastmemError or OSError for a directory that cannot be opened, or that a process has open.
    """

    def __init__(
        self, warm: Path | None, cold: Path | None, draw: Draw, *, secret_key: bytes | None = None
    ) -> None:
        self._paths = (warm, cold)
        self._draw = draw
        self._secret_key = secret_key
        self._found = Findings()
        self._bodies: dict[tuple[int, int], Stretch] = {}  # (tier, address) of damaged records
        self._runs: dict[tuple[int, int], list[Stretch]] = {}  # (tier, segment) of other damage
        self._leading: Counter[Stretch] = Counter()  # entries that lead into a run
        self._missing: Counter[tuple[int, int]] = Counter()  # and to a (tier, segment) not there
        self._told: set[int] = set()  # words

    def run(self) -> Findings:
        bind_xxh3()
        held = [Directory(path, read_only=True) for path in self._paths if path is not None]
        try:
            with self._draw("opening") as show:
                engine = Engine(
                    *self._paths,
                    warm_budget_bytes=budget_for(held),
                    secret_key=self._secret_key,
                    read_only=True,
                    progress=show,
                )
            try:
                if engine.files.attached:
                    path = engine.files.directory.path
                    raise StoreLockedError("another process has it open", path, errno.EAGAIN)
                for directory in held:  # from here on nobody writes
                    self._look_at_directory(directory)
                self._look_at(engine)
            finally:
                engine.close()
        finally:
            for directory in held:
                directory.close()
        return self._found

    def _look_at(self, engine: Engine) -> None:
        found = self._found
        found.rebuilt = engine.files.rebuilt
        found.entries = engine.log.warm_entries + engine.log.cold_entries
        for tier in tiers_of(engine):
            self._look_at_segments(engine, tier.segments)
        self._look_at_entries(engine)
        for tier in tiers_of(engine):
            self._tell_missing(tier.segments)
        self._tell_stretches(engine)
        if engine.cold is not None:
            for error in engine.cold.dictionaries.damage():
                found.tell_error(error, "values compressed with it are missed")
        for tier in tiers_of(engine):
            self._look_at_values(engine, tier.values)
        if not engine.files.rebuilt and found.entries:
            self._compare(engine)
        for problem in file_problems(engine):
            found.tell(engine.files.directory.path, problem, "the account is wrong, no value is")
        for problem in index_problems(engine):
            if "leads to no whole record" not in problem:
                self._tell_index(engine, problem)

    def _tell_index(self, engine: Engine, what: str) -> None:
        self._found.index_damaged = True
        path = engine.files.directory.path / "index"
        self._found.tell(path, what, "keys may be missed until it is made anew")

    # -- directories -------------------------------------------------------------------------

    def _look_at_directory(self, directory: Directory) -> None:
        """First pages, and names that are in the way of nothing."""
        for name in {"super", "archive"}.intersection(directory.names()):
            page = directory.read(name, PAGE_BYTES)
            for start, size, what, means in page_problems(page):
                self._found.tell(directory.path / name, what, means, start, size)
        for name in leftovers(directory):
            self._found.notes.append(
                f"{directory.path / name}: work of a process that died; an opening removes it"
            )
        for name in sorted(directory.names()):
            if name.startswith("foreign."):
                self._found.notes.append(
                    f"{directory.path / name}: none of the store's, set aside by an opening"
                )

    # -- segments ----------------------------------------------------------------------------

    def _look_at_segments(self, engine: Engine, segments: Segments) -> None:
        for number in set(listed(segments)).difference(segments.numbers):
            path = segments.directory.path / segments.name(number)
            self._found.tell(path, "no segment of this store", "nothing in it is read")
        tail = engine.files.super.get(tail_of(segments))
        if segments.which == WARM and engine.files.skipped[1]:
            tail = engine.files.skipped[0]  # as far as anything was written
        with self._draw("cold segments" if segments.which == COLD else "warm segments") as show:
            for done, number in enumerate(segments.numbers, 1):
                self._look_at_segment(engine, segments, number, tail)
                show(done * segments.segment_bytes, segments.linked_bytes)

    def _look_at_segment(self, engine: Engine, segments: Segments, number: int, tail: int) -> None:
        which, path = segments.which, segments.directory.path / segments.name(number)
        mapping = engine.log.mapping(which, number)
        if mapping is None:
            return
        if read_head(mapping, which, path) is None:
            means = "nothing is missed, records vouch for themselves"
            self._found.tell(path, "damaged header", means, 0, SEGMENT_HEADER_BYTES)
            self._found.torn.add(path)
        size = segments.directory.size(path.name)
        if size < segments.segment_bytes:
            what = f"cut to {size:,} of {segments.segment_bytes:,} bytes"
            means = "what lay behind is missed, unless it was replaced or deleted since"
            self._found.tell(path, what, means, size)
            self._found.torn.add(path)
        records, damaged = stretches(engine.log, which, number, tail)
        self._found.records += records
        for stretch in damaged:
            if stretch.key is None:
                self._runs.setdefault((which, number), []).append(stretch)
            else:
                self._bodies[which, stretch.at] = stretch

    # -- entries -----------------------------------------------------------------------------

    def _look_at_entries(self, engine: Engine) -> None:
        found = self._found
        with self._draw("entries") as show:
            for done, record in enumerate(scan.wholes(engine.log), 1):
                if done % _ENTRIES_A_LOOK == 0:
                    show(done, found.entries)
                error = error_of(engine, record)
                if error is None:
                    continue
                self._told.add(record.word)
                if record.key is None:
                    self._note_lost_header(engine, record)
                    continue
                if self._bodies.pop(_place(record.word), None):
                    self._found.torn.add(engine.contents.place(record.word)[0])
                found.lost.append(record.key)
                found.tell_error(error, f"{key_text(record.key)} is missed")
            show(found.entries, found.entries)

    def _note_lost_header(self, engine: Engine, record: Record) -> None:
        """An entry that leads to no header: because that is damaged, or because the entry is."""
        self._found.unknown += 1
        which, at = _place(record.word)
        segments = engine.files.segments(which)
        if segments is not None:
            number, unit = divmod(at, segments.segment_units)
            for run in self._runs.get((which, number), ()):
                if run.at <= at < run.at + run.units:
                    self._leading[run] += 1
                    return
            if number not in segments.numbers:
                self._missing[which, number] += 1
                return
            if unit * UNIT_BYTES >= segments.directory.size(segments.name(number)):
                return  # told of the segment
        self._tell_index(engine, f"entry {record.word:#x} leads to no record of its key")

    def _tell_missing(self, segments: Segments) -> None:
        for which, number in sorted(self._missing):
            if which == segments.which:
                path = segments.directory.path / segments.name(number)
                count = many(self._missing[which, number], "key")
                means = f"{count} missed, and nobody can tell which"
                self._found.tell(path, "segment is missing", means)

    def _tell_stretches(self, engine: Engine) -> None:
        """Damage that no entry leads to, and that of which nobody knows whose it was."""
        for (which, _at), stretch in self._bodies.items():
            assert stretch.key is not None
            now, means = engine.log.peek(stretch.key), SUPERSEDED
            if engine.files.rebuilt and now is None:
                means = f"{key_text(stretch.key)} has no value"
            elif now is not None and now.version < stretch.version:
                means = f"an older value of {key_text(stretch.key)} is in its place"
            self._tell_stretch(engine, which, stretch, "damaged record", means)
        for (which, _number), runs in self._runs.items():
            for run in runs:
                what = "zeros where records were" if run.empty else "bytes that are no record"
                means = SUPERSEDED
                count = self._leading[run]
                segments = engine.files.segments(which)
                assert segments is not None
                if not count and is_all_of_a_segment(segments, run):
                    continue  # made ahead, and then passed over
                if count:
                    means = f"{many(count, 'key')} missed, and nobody can tell which"
                elif engine.files.rebuilt:
                    means = "what it held, if anything, is missed, or an older value in its place"
                self._tell_stretch(engine, which, run, what, means)

    def _tell_stretch(
        self, engine: Engine, which: int, stretch: Stretch, what: str, means: str
    ) -> None:
        path, start = engine.contents.place(stretch.at | (TIER_BIT if which == COLD else 0))
        self._found.tell(path, what, means, start, stretch.units * UNIT_BYTES)
        self._found.torn.add(path)

    # -- value files -------------------------------------------------------------------------

    def _look_at_values(self, engine: Engine, values: ValueFiles) -> None:
        led = pointed_to(engine.log)
        orphans = 0
        for number in values.numbers():
            if number not in led:
                orphans += 1
                continue
            try:
                if values.key_of(number) is not None:
                    continue
            except FormatError as error:
                self._found.tell(Path(error.filename), str(error.strerror), "it stays as it is", 0)
                continue
            except OSError as error:
                if error.errno not in UNREADABLE:
                    raise
                continue  # told with its entry
            path = values.directory.path / f"val.{number:016x}"
            self._found.tell(
                path, "damaged header", "nothing is missed, its record tells the key", 0
            )
            self._found.headless[path] = led[number]
        if orphans:
            self._found.notes.append(
                f"{values.directory.path}: {many(orphans, 'value file')} of writers that died; an "
                "opening removes what no record leads to"
            )

    # -- the index against the log -------------------------------------------------------------

    def _compare(self, engine: Engine) -> None:
        with self._draw("the log again") as show:
            again = _Rebuilt(
                *self._paths,
                warm_segment_bytes=0,
                cold_segment_bytes=0,
                cold_bounded=False,
                initial_level=engine.files.initial_level,
                authenticator=engine.authenticator,
                read_only=True,
                alone=False,
                timeout_s=engine.files.timeout_s,
                progress=show,
            )
        try:
            self._tell_differences(engine, again)
        finally:
            again.close(clean=False)

    def _tell_differences(self, engine: Engine, again: StoreFiles) -> None:
        """A new index may hold more than the one that is there, or something else, or less."""
        found, log = self._found, engine.log
        for head in scan.heads(again.log):
            if _place(log.seek(head.key)) == _place(head.word):
                continue
            found.stale.append(head.key)
            what = "record that a new index would lead to, and this one does not"
            means = f"an older value of {key_text(head.key)} may return"
            path, start = engine.contents.place(head.word)
            found.tell(path, what, means, start)
        for head in scan.heads(log):
            if head.word not in self._told and not again.log.seek(head.key):
                found.index_damaged = True
                what = "record that a new index would not lead to"
                means = f"{key_text(head.key)} would be missed with a new index"
                path, start = engine.contents.place(head.word)
                found.tell(path, what, means, start)


class _Rebuilt(StoreFiles):
    """A store looked at through an index made from its log, whatever index there is."""

    def _adopt_index(self) -> bool:
        return False


def tiers_of(engine: Engine) -> Iterator[Tier]:
    """The tiers that an engine has."""
    for tier in (WARM, COLD):
        segments, values = engine.files.segments(tier), engine.files.values(tier)
        if segments is not None and values is not None:
            yield Tier(segments, values)


def is_all_of_a_segment(segments: Segments, run: Stretch) -> bool:
    """True for the zeros of a segment in which nothing was ever written."""
    most = segments.segment_units - HEADER_UNITS - SEAL_UNITS
    return run.empty and run.at % segments.segment_units == HEADER_UNITS and run.units >= most


def listed(segments: Segments) -> list[int]:
    """The numbers of all files that bear a segment's name, whether they are the store's or not."""
    prefix = segments.name(0).removesuffix("0")
    names = (name for name in segments.directory.names() if name.startswith(prefix))
    tails = [name.removeprefix(prefix) for name in names]
    return sorted(int(tail) for tail in tails if tail.isdecimal() and len(tail) <= 18)


def budget_for(directories: list[Directory]) -> int:
    """A budget that has room for all that is there."""
    used = sum(
        directory.allocated_bytes(name) for directory in directories for name in directory.names()
    )
    return 2 * used + (16 << 20)


def _place(word: int) -> tuple[int, int]:
    """The tier and the address that a word leads to; two indexes may have other tags in it."""
    return COLD if word & TIER_BIT else WARM, word & LOCATION_MASK
