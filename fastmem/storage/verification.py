"""Reading everything a store holds, to learn what of it is damaged before it is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.log import COLD, WARM, Record
from fastmem.errors import CorruptRecordError
from fastmem.storage.contents import MISSING_FILE

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

OnCorrupt = Callable[[CorruptRecordError], object]


def verify(engine: Engine, on_corrupt: OnCorrupt | None) -> int:
    """Read every live record of every tier to the last byte. Return how many they are.

    The first error found is raised, or all are handed to `on_corrupt`. It takes no lock, and
    nothing is counted, marked as read or moved.
    """
    records = 0
    for error in _errors(engine):
        if error is None:
            records += 1
        elif on_corrupt is None:
            raise error
        else:
            on_corrupt(error)
    return records


def index_problems(engine: Engine) -> list[str]:
    """What is wrong with the index and the records that it leads to, as sentences. ClosedError."""
    return scan.check_index(engine.log)


def file_problems(engine: Engine) -> list[str]:
    """What is wrong with the files and what is counted of them, as sentences. ClosedError."""
    engine.log.seek(b"")
    problems: list[str] = []
    with engine.lock:
        engine.section.refuse_nested("check()")
        for tier in (WARM, COLD):
            segments, values = engine.files.segments(tier), engine.files.values(tier)
            problems += segments.check() if segments else []
            problems += values.check() if values else []
        problems += engine.cold.dictionaries.check() if engine.cold else []
        problems += engine.files.super.check()
        problems += engine.room.check()
    return problems


def _errors(engine: Engine) -> Iterator[CorruptRecordError | None]:
    """For every record None, and what is wrong with it; at last what is wrong beside them."""
    for record in scan.wholes(engine.log):
        yield None
        error = error_of(engine, record)
        if error is not None:
            yield error
    if engine.cold is not None:
        yield from engine.cold.dictionaries.damage()


def error_of(engine: Engine, record: Record) -> CorruptRecordError | None:
    """What is wrong with an entry that `scan.wholes` met, its value read to the last byte."""
    if record.word == 0:
        path = engine.files.directory.path / "index"
        return CorruptRecordError("a page of the index is missing", path, record.version)
    if record.body is None:
        return engine.contents.corrupt(record.word)
    try:
        engine.contents.content(record)
    except CorruptRecordError as error:
        return error
    except FileNotFoundError:
        if engine.log.seek(record.key) == record.word:  # else replaced or deleted meanwhile
            return engine.contents.corrupt(record.word, MISSING_FILE)
    return None
