"""The repair of a directory: what is sound stays where it is, of the rest a copy is kept.

Sound records keep their places, and with them their versions. First all that is about to change is
copied. Then keys whose newest value is lost get a tombstone, so that no older one returns; that is
synced. Only then are the damaged bytes passed over, in place. So a repair that dies at any point
leaves to the next one all that it would have needed itself.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastmem._core import rebuild, scan
from fastmem._core.damage import stretches
from fastmem.errors import CorruptRecordError, StoreLockedError
from fastmem.storage.checking import (
    Check,
    Draw,
    budget_for,
    is_all_of_a_segment,
    tiers_of,
)
from fastmem.storage.clearing import bury
from fastmem.storage.engine import Engine
from fastmem.storage.files import Directory
from fastmem.storage.findings import Findings
from fastmem.storage.opening import StoreFiles
from fastmem.storage.progress import OnProgress
from fastmem.storage.quarantine import KeepingDirectory, Kept
from fastmem.storage.segments import Segments, read_head, tail_of
from fastmem.storage.values import Pointer, ValueFiles
from fastmem.storage.verification import error_of

__all__ = ["Repair", "Repaired"]

_ROOM_BYTES = 1 << 30  # in the budget of a repair, which shall evict nothing


@dataclass
class Repaired:
    """What a repair did: files kept aside, keys that lost their value, and what it left."""

    kept: list[Kept] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    buried: int = 0
    entries: int = 0
    passed_over: int = 0
    left: Findings = field(default_factory=Findings)


class Repair:
    """A repair of what a check has found. FastmemError and OSError as from opening for writing:
    StoreLockedError while anybody has it open.
    """

    def __init__(
        self, warm: Path | None, cold: Path | None, draw: Draw, *, secret_key: bytes | None = None
    ) -> None:
        self._paths = (warm, cold)
        self._draw = draw
        self._secret_key = secret_key

    def look(self) -> Findings:
        """What there is to be repaired. Nothing is changed."""
        return Check(*self._paths, self._draw, secret_key=self._secret_key).run()

    def run(self, found: Findings) -> Repaired:
        """Repair what was found, and look again."""
        done = Repaired()
        with self._draw("opening for repair") as show:
            engine = _RepairEngine(self._paths, found, self._secret_key, show)
        try:
            self._settle_keys(engine, found, done)
            engine.sync()
            for tier in tiers_of(engine):
                self._mend_segments(engine, tier.segments, done)
            self._mend_pages(engine)
            with engine.lock:
                engine.files.remove_orphans(engine.pass_lock)
            self._move_strays(engine)
            engine.sync()
            done.entries = engine.log.warm_entries + engine.log.cold_entries
        finally:
            engine.close()
            for directory in engine.files.directories:
                if isinstance(directory, KeepingDirectory):
                    done.kept += directory.kept
        done.left = self.look()
        return done

    def _settle_keys(self, engine: Engine, found: Findings, done: Repaired) -> None:
        """See to it that no read and no new index finds a value that is not the newest."""
        if not engine.files.rebuilt:
            for key in found.stale:
                if not engine.log.seek(key) and bury(engine, key, 0):
                    done.buried += 1
                    engine.settle()
        with self._draw("entries") as show:
            lost = []
            total = engine.log.warm_entries + engine.log.cold_entries
            for count, record in enumerate(scan.wholes(engine.log), 1):
                if count % 512 == 0:
                    show(count, total)
                if record.key and error_of(engine, record) is not None:
                    lost.append(record)
            show(total, total)
        for record in lost:
            if engine.delete(record.key, record.word):
                done.dropped.append(record.key)
        scan.forget_damaged(engine.log, engine.room.provide)

    # -- in place ----------------------------------------------------------------------------

    def _mend_segments(self, engine: Engine, segments: Segments, done: Repaired) -> None:
        tail = engine.files.super.get(tail_of(segments))
        title = f"mending {segments.name(0).split('.')[0]}"
        with self._draw(title) as show:
            for count, number in enumerate(list(segments.numbers), 1):
                self._mend_segment(engine, segments, number, tail, done)
                show(count, len(segments.numbers))

    def _mend_segment(
        self, engine: Engine, segments: Segments, number: int, tail: int, done: Repaired
    ) -> None:
        which, name, directory = segments.which, segments.name(number), segments.directory
        mapping = engine.log.mapping(which, number)
        if mapping is None:
            return
        short = directory.size(name) < segments.segment_bytes
        headless = read_head(mapping, which, directory.path / name) is None
        if short or headless:
            _keep(directory, name)
        if short and segments.allocate_all(number):
            mapping = segments.open(number)
            assert mapping is not None
            engine.log.add_segment(which, number, mapping)
        if headless:
            mapping.store(0, segments.head(number))
        _records, damaged = stretches(engine.log, which, number, tail)
        damaged = [one for one in damaged if not is_all_of_a_segment(segments, one)]
        if damaged:
            _keep(directory, name)
        for stretch in damaged:
            rebuild.pass_over(engine.log, which, stretch.at, stretch.units)
            done.passed_over += 1
        if damaged or headless:
            mapping.sync(0, mapping.size)

    def _mend_pages(self, engine: Engine) -> None:
        """Lines of the first pages that opening has not written anew say nothing from now on."""
        for page in (engine.files.super, engine.files.archive):
            if page is None:
                continue
            page.blank_lines()
            page.sync()

    def _move_strays(self, engine: Engine) -> None:
        if engine.cold is not None and engine.files.cold is not None:
            for error in list(engine.cold.dictionaries.damage()):
                _move(engine.files.cold.directory, Path(error.filename).name, "damaged")
        for directory in engine.files.directories:
            for name in directory.names():
                if name.startswith("foreign."):
                    _move(directory, name, "set aside by an opening")


class _RepairFiles(StoreFiles):
    """Everything open of a store that is being repaired: nothing leaves its directories."""

    def __init__(self, found: Findings, *paths: Path | None, **options: Any) -> None:
        self._found = found
        # The index that is made here shall suit what there is, and not the room that a repair has.
        held_bytes = options.pop("held_bytes")
        level = min(max((held_bytes >> 14).bit_length() - 1, 10), 20)
        super().__init__(*paths, **{**options, "initial_level": level})

    def _directory(self, path: Path) -> Directory:
        reasons: dict[str, str] = {}
        for one in self._found.damage:
            if one.path.parent == path:
                reasons.setdefault(one.path.name, one.what)
        return KeepingDirectory(path, reasons)

    def _find_others(self) -> bool:
        try:
            return super()._find_others()
        except StoreLockedError as error:
            reason = "another process has it open, and a repair takes it for itself"
            raise StoreLockedError(reason, error.filename, errno.EAGAIN) from error

    def _open(self) -> None:
        """First of all keep what an opening may change."""
        for directory in self.directories:
            for name in ("super", "archive"):
                if any(one.path == directory.path / name for one in self._found.damage):
                    _keep(directory, name)
            for path in sorted(self._found.torn):
                if path.parent == directory.path:
                    _keep(directory, path.name)
            for path, (key, pointer) in self._found.headless.items():
                if path.parent == directory.path:
                    _keep(directory, path.name)
                    _write_again(directory, key, Pointer.unpack(pointer))
        super()._open()

    def _adopt_index(self) -> bool:
        return not self._found.index_damaged and super()._adopt_index()


class _RepairEngine(Engine):
    """An engine that has its directories to itself, and room for all that is in them."""

    def __init__(
        self,
        paths: tuple[Path | None, Path | None],
        found: Findings,
        secret_key: bytes | None,
        show: OnProgress,
    ) -> None:
        held = [Directory(path, read_only=True) for path in paths if path is not None]
        used = budget_for(held)
        for directory in held:
            directory.close()
        self._files_type = partial(_RepairFiles, found, held_bytes=used)
        super().__init__(
            *paths,
            warm_budget_bytes=used + _ROOM_BYTES,
            widen_warm=True,
            durability="cache",  # the directories are this process's alone
            secret_key=secret_key,
            progress=show,
        )


def _write_again(directory: Directory, key: bytes, pointer: Pointer) -> None:
    """Write a value file anew, of which the header is damaged and the value is not."""
    values = ValueFiles(directory)
    try:
        content = values.read(key, pointer)
    except CorruptRecordError:
        return  # told with its entry, which goes
    values.write(pointer.number, key, content, sync=True)


def _keep(directory: Directory, name: str) -> None:
    assert isinstance(directory, KeepingDirectory)
    directory.copy(name)


def _move(directory: Directory, name: str, reason: str) -> None:
    assert isinstance(directory, KeepingDirectory)
    directory.move(name, reason)
