"""What a tier has done since it was opened, in this process."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from fastmem._core.counts import Counts

ERRORS = (
    "corrupt",  # records that do not validate, each once
    "undecodable",  # reads of sound bytes that did not become a value
    "dropped",  # records that a crash or damage took out of the index
    "dictionary",  # stored dictionaries that are damaged
    "no_space",  # what was to be done after a commit and waits for room on the device
    "io",  # ... and that the system refused otherwise
    "memory",  # ... and that waits for memory
)
_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(eq=False)
class TierCounters(Counts):
    """Plain counts. `evictions` are by cause, `errors` by kind; every cause and kind is there."""

    not_resident: int = 0
    demotions: int = 0
    expirations: int = 0
    evictions: dict[str, int] = field(default_factory=lambda: {"size": 0})
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ERRORS, 0))

    def note_failure(self, error: OSError | MemoryError) -> None:
        """Count what the system refused."""
        kind = "memory"
        if isinstance(error, OSError):
            kind = "no_space" if error.errno in _NO_SPACE else "io"
        self.errors[kind] += 1

    def as_dict(self) -> dict[str, object]:
        return {
            "hits": self.hits,
            "misses": self.misses,
            "not_resident": self.not_resident,
            "promotions": self.promotions,
            "demotions": self.demotions,
            "expirations": self.expirations,
            "evictions": dict(self.evictions),
            "errors": dict(self.errors),
        }
