"""What the tiers tell about one entry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

# What the tiers take as a key; inside of tuples too, told apart by type.
TierKey = str | bytes | int | tuple[Any, ...]


class MemoryTier(Enum):
    """Where a value is."""

    L1_HOT = "l1_hot"
    L2_WARM = "l2_warm"
    L3_COLD = "l3_cold"


@dataclass
class MemoryEntry:
    """One entry as it was when asked for.

    `timestamp` is seconds since 1970 of the put; `ttl` the seconds from then to its deadline, None
    for never. `access_count` counts hits in L1 since the entry got there.
    """

    key: Any
    value: Any
    tier: MemoryTier
    timestamp: float
    access_count: int = 0
    ttl: float | None = None
