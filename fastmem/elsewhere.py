"""What stands in for the lower tiers on platforms that they do not support."""

from __future__ import annotations

import sys
from typing import Any

from fastmem.errors import UnsupportedPlatformError

__all__ = ["Archive", "SegmentStore", "TieredMemorySystem"]


class _NeedsLinux:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise UnsupportedPlatformError(
            f"{type(self).__name__} needs Linux, this is {sys.platform}; L1Cache works here"
        )


class Archive(_NeedsLinux):
    """Needs Linux."""


class SegmentStore(_NeedsLinux):
    """Needs Linux."""


class TieredMemorySystem(_NeedsLinux):
    """Needs Linux."""
