"""What a tier has done since it was opened, in this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class TierCounters:
    """Plain counts. `evictions` are by cause, `errors` by kind."""

    hits: int = 0
    misses: int = 0
    promotions: int = 0
    demotions: int = 0
    expirations: int = 0
    evictions: Counter[str] = field(default_factory=lambda: Counter(size=0))
    errors: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        return {
            "hits": self.hits,
            "misses": self.misses,
            "promotions": self.promotions,
            "demotions": self.demotions,
            "expirations": self.expirations,
            "evictions": dict(self.evictions),
            "errors": dict(+self.errors),  # only what happened
        }
