"""Values too large for a segment: a file first, then the record that points to it."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING

from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


class LargeWriter:
    """Appends large values, all or nothing: after an exception there is a record or no file."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._files = engine.files
        self._writers: dict[int, int] = {}  # of files that are pending: number -> thread

    def append(self, tier: int, key: bytes, body: bytes, append: Callable[[bytes], bool]) -> bool:
        """Write a value to a file of its own, then ``append(pointer)`` its record. True when done.

        The file is beyond the budget until the append has made it count; then `settle` makes room
        for it (see room.py). So nothing else has changed when writing it fails.
        """
        engine, values = self._engine, self._files.values(tier)
        assert values is not None
        footprint = values.footprint(len(body) + len(key))
        engine.room.require(tier, footprint)
        engine.room.owe()
        engine.be_member()
        number = values.new_number()
        done = False
        try:
            self._writers[number] = get_ident()
            asked = engine.syncer.lead.word
            pointer = values.write(number, key, body, sync=engine.durability == "disk", asked=asked)
            with engine.lock:
                engine.section.depth += 1
                try:
                    engine.require_writable()
                    self._take(tier, key, footprint)
                finally:
                    engine.section.depth -= 1
            done = append(pointer.pack())
            if done:
                values.publish(number)
        finally:
            # By the index, not by `done`: an interrupt may come when the append is done already.
            self._writers.pop(number, None)
            if not done:
                values.abandon(number)  # first: what fails from here on, the next `settle` does
                if not engine.log.closed and not self._files.leads_to(key, number):
                    values.remove(number)
        return done

    def is_at_work(self, thread: int) -> bool:
        """True while a thread is about to write a value to a file, or to append its record."""
        return thread in self._writers.values()

    def _take(self, tier: int, key: bytes, footprint: int) -> None:
        """Have room for a value file beside those that stay. OSError when there cannot be."""
        values = self._files.values(tier)
        assert values is not None
        replaced = self._replaced_bytes(values, key)
        while True:
            self._engine.room.take(tier, footprint - replaced, spare=True)
            counted, replaced = replaced, self._replaced_bytes(values, key)
            if replaced >= counted:
                return  # else making room took the value that is to be replaced: no room by itself

    def settle(self) -> bool:
        """Count the value files of puts that are done, and unlink those that a put which gave up,
        or an interrupted reclaim, left without a record. True while some puts are still under way.
        Call it under the lock.
        """
        waiting = False
        for values in (self._files.warm_values, self._files.cold_values):
            if values is None:
                continue
            for number, key in values.pending.items():
                given_up = values.is_abandoned(number)  # first: before that it may still append
                if self._files.leads_to(key, number):
                    values.publish(number)
                elif given_up:
                    values.remove(number)
                else:
                    waiting = True
            for number, key in list(values.leaving.items()):
                if self._files.leads_to(key, number):
                    del values.leaving[number]
                else:
                    values.remove(number)
        return waiting

    def finish(self) -> bool:
        """At a close: unlink the value files that wait for it. False: the next open has to look for
        them.
        """
        engine, waiting = self._engine, True
        try:
            waiting = self.settle()
            engine.syncer.free_values()
            if engine.syncer.has_doomed:
                engine.syncer.sync()
        except OSError as error:
            engine.room.note_failure(error)
        return not waiting and not engine.syncer.has_doomed and not engine.log.freed

    def _replaced_bytes(self, values: ValueFiles, key: bytes) -> int:
        """Bytes of the value file that goes when the key's record is replaced."""
        pointer = self._engine.log.pointer(key)
        return 0 if pointer is None else values.bytes_of(Pointer.unpack(pointer).number)
