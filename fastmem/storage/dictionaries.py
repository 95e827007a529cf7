"""The archive's dictionaries: trained on its own records, stored before the first frame that
needs them, read back at every open."""

from __future__ import annotations

import logging
import re
import struct
import threading
from collections.abc import Callable, Iterator

from fastmem._core.hashing import digest
from fastmem._core.layout import FORMAT, form
from fastmem._core.sectionlock import SectionLock
from fastmem.codecs import FrameCompressor, train_dictionary
from fastmem.errors import ClosedError, CorruptRecordError
from fastmem.storage.files import Directory

log_to = logging.getLogger("fastmem.storage")

DICTIONARY_MAGIC = b"FMDICT\0\0"
_HEAD = struct.Struct(form("dictionary", "magic", "checksum"))
_CHECK = struct.Struct(form("dictionary", "check", "check"))
_BODY_AT = _HEAD.size + _CHECK.size
_NAME = re.compile(r"dict\.(\d{1,10})")
SAMPLE_LIMIT_BYTES = 8 << 10
TRAINING_BYTES = 2 << 20
_FEWEST_NEW_BYTES = TRAINING_BYTES // 4  # between two looks at what the archive holds
_LARGEST_FILE = 1 << 20


class Dictionaries:
    """Dictionaries of one archive, numbered 1, 2, ...; the newest compresses, all decompress.

    While there is none, one is trained as soon as the archive holds `TRAINING_BYTES` of small
    values, whichever process archived them, in a thread of its own (zstd trains without the GIL):
    it is tried at the first put after opening, and again as the archive grows; twice as much later
    each time that the values have nothing in common. Frames made before use no dictionary.

    ``stored()`` iterates the small values that the archive holds, in no order; `empty` says that
    there are none yet.
    """

    def __init__(
        self,
        directory: Directory,
        frames: FrameCompressor,
        stored: Callable[[], Iterator[bytes]],
        section: SectionLock,
        *,
        empty: bool,
        read_only: bool,
    ) -> None:
        self._directory = directory
        self._frames = frames
        self._stored = stored
        self._section = section
        self._loading = threading.RLock()
        self._new_bytes = 0  # of small values, since the archive was last looked at
        self._wanted_bytes = TRAINING_BYTES if empty else 0  # so many are worth a look
        self._attempts = 0
        self._training: threading.Thread | None = None
        self._closing = False
        self.damaged = 0
        self.linked_bytes = 0
        self._last = 0
        self.current = 0
        self.look_for_others()
        self._wants = not read_only and self.current == 0
        frames.find_missing = self._find_missing

    def look_for_others(self) -> None:
        """Load those that are stored and not known yet, which other processes have trained."""
        with self._loading:
            names = (_NAME.fullmatch(name) for name in self._directory.names())
            for number in sorted(int(match[1]) for match in names if match):
                if number > self._last:
                    self._load(f"dict.{number}", number)

    def _find_missing(self, number: int) -> None:
        """Called for a frame that names one which is not loaded."""
        if number > self._last:  # else it is known to be damaged, or gone
            self.look_for_others()

    def _load(self, name: str, number: int) -> None:
        body, linked_bytes = self._read(name, number), self._directory.allocated_bytes(name)
        if body is not None:
            self._frames.add_dictionary(number, body)
        if number <= self._last:  # a nested call was at it too
            return
        # Last: who sees it looks no further, and what failed on the way is to be tried again.
        self._last = number
        self.linked_bytes += linked_bytes
        if body is not None:
            self.current = number
        else:
            self.damaged += 1
            log_to.warning(
                "%s is damaged; frames made with it are lost", self._directory.path / name
            )

    def _read(self, name: str, number: int) -> bytes | None:
        """A stored dictionary, None when the file is damaged."""
        data = self._directory.read(name, _LARGEST_FILE)
        body = data[_BODY_AT:]
        return body if data[:_BODY_AT] == _head(number, body) else None

    def damage(self) -> Iterator[CorruptRecordError]:
        """Read every stored dictionary again; an error for each that a next open would not find."""
        there = {
            int(match[1]) for name in self._directory.names() if (match := _NAME.fullmatch(name))
        }
        for number in sorted(there.union(self.numbers)):
            name = f"dict.{number}"
            if number not in there or self._read(name, number) is None:
                what = "is damaged" if number in there else "is missing"
                reason = f"dictionary {what}; frames made with it are lost"
                yield CorruptRecordError(reason, self._directory.path / name, 0)

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(self._frames.dictionary_ids))

    def note(self, content: bytes) -> None:
        """Count a value that is about to be archived; look for samples when it is time to."""
        if not self._wants or len(content) > SAMPLE_LIMIT_BYTES:
            return
        self._new_bytes += len(content)
        if self._new_bytes < self._wanted_bytes:
            return
        self._wants = False
        training = threading.Thread(target=self._train, name="fastmem-dictionary", daemon=True)
        try:
            training.start()
        except RuntimeError as error:  # too many threads, or the interpreter is ending
            log_to.warning("no dictionary for %s: %s", self._directory.path, error)
            self._again_after(TRAINING_BYTES)
        else:
            self._training = training

    def _again_after(self, new_bytes: int) -> None:
        self._new_bytes, self._wanted_bytes = 0, new_bytes
        self._wants = True

    def _train(self) -> None:
        try:
            samples, sampled_bytes = self._gather()
            if sampled_bytes < TRAINING_BYTES:
                self._again_after(max(TRAINING_BYTES - sampled_bytes, _FEWEST_NEW_BYTES))
                return
            self._attempts += 1
            body = train_dictionary(samples)
            if body is None:
                self._again_after(TRAINING_BYTES << min(self._attempts, 30))
                return
            with self._section:  # another process may have trained one, too
                self.look_for_others()
                if self.current == 0:
                    self._store(body)
        except (OSError, MemoryError, ClosedError) as error:
            log_to.warning("no dictionary for %s: %s", self._directory.path, error)
            self._again_after(TRAINING_BYTES << min(self._attempts, 30))

    def _store(self, body: bytes) -> None:
        number = self._last + 1  # above a damaged one too: frames still name that
        self._directory.write(f"dict.{number}", [_head(number, body), body], sync=True)
        self.linked_bytes += self._directory.allocated_bytes(f"dict.{number}")
        self._frames.add_dictionary(number, body)
        self.current = self._last = number

    def _gather(self) -> tuple[list[bytes], int]:
        """Enough of the values that the archive holds, or all of them; and their bytes."""
        samples: list[bytes] = []
        sampled_bytes = 0
        for content in self._stored():
            if sampled_bytes >= TRAINING_BYTES or self._closing:
                break
            samples.append(content)
            sampled_bytes += len(content)
        return samples, sampled_bytes

    def check(self) -> list[str]:
        """Return what is wrong with the numbers and the count of bytes, as sentences."""
        self.look_for_others()
        problems = []
        there = {
            int(match[1]): self._directory.allocated_bytes(name)
            for name in self._directory.names()
            if (match := _NAME.fullmatch(name))
        }
        if self.linked_bytes != sum(there.values()):
            problems.append(
                f"dictionaries take {sum(there.values()):,} bytes, not {self.linked_bytes:,}"
            )
        if max(there, default=0) != self._last or not self.current <= self._last:
            problems.append(
                f"dictionaries {sorted(there)}, the last is {self._last}, {self.current} compresses"
            )
        if not set(self.numbers) <= set(there):
            problems.append(f"dictionaries {self.numbers} are in use, {sorted(there)} are stored")
        if self.current and self.current not in self.numbers:
            problems.append(f"dictionary {self.current} compresses and is not loaded")
        return problems

    def close(self) -> None:
        """Wait for a training under way (about 0.1 s)."""
        self._closing = True  # gathering, at least, can end
        if self._training is not None:
            self._training.join()


def _head(number: int, body: bytes) -> bytes:
    """What the file of a dictionary begins with."""
    head = _HEAD.pack(DICTIONARY_MAGIC, FORMAT, number, len(body), digest(body))
    return head + _CHECK.pack(digest(head))
