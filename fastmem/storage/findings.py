"""What a check found: damage, each with its place and with what it costs the user."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastmem._core.keys import decode_key
from fastmem.errors import CorruptRecordError

__all__ = ["Finding", "Findings", "key_text", "many"]

_WIDEST = 80


@dataclass(frozen=True)
class Finding:
    """Damage in one place. `offset` and `length` are in bytes, None for what is of a whole file."""

    path: Path
    offset: int | None
    length: int | None
    what: str
    means: str

    def __str__(self) -> str:
        place = "" if self.offset is None else f" (offset {self.offset:,})"
        return f"{self.path}: {self.what}{place}: {self.means}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "offset": self.offset,
            "length": self.length,
            "what": self.what,
            "means": self.means,
        }


@dataclass
class Findings:
    """All that a check found. Sound is what has no damage; notes tell of what is none.

    `records` are the whole ones in the log, live or not. `lost` keys have an entry whose value
    cannot be read; of `unknown` more the key is lost with it. A new index would lead to other
    records of the `stale` keys than the one that is there. `torn` segments have damage in them; of
    the `headless` value files, by path, key and pointer are known from their records.
    """

    damage: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: int = 0
    entries: int = 0
    rebuilt: bool = False
    index_damaged: bool = False
    lost: list[bytes] = field(default_factory=list)
    unknown: int = 0
    stale: list[bytes] = field(default_factory=list)
    torn: set[Path] = field(default_factory=set)
    headless: dict[Path, tuple[bytes, bytes]] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        return not self.damage

    def tell(
        self,
        path: Path,
        what: str,
        means: str,
        offset: int | None = None,
        length: int | None = None,
    ) -> None:
        """Add damage."""
        self.damage.append(Finding(path, offset, length, what, means))

    def tell_error(self, error: CorruptRecordError, means: str) -> None:
        """Add what an error names."""
        what = str(error.strerror).removesuffix(f" (offset {error.offset:,})")
        self.tell(Path(error.filename), what, means, error.offset)


def key_text(encoded: bytes) -> str:
    """A key as its user wrote it, cut to what fits in a line."""
    try:
        text = repr(decode_key(encoded))
    except ValueError:
        text = repr(encoded)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def many(count: int, noun: str) -> str:
    """A count with its noun and verb: "1 key is", "2 keys are"."""
    return f"1 {noun} is" if count == 1 else f"{count:,} {noun}s are"
