"""Files that are gone and still take their room, because views keep them mapped."""

from __future__ import annotations

from fastmem._core.mapping import Mapping


class Pins:
    """Mappings of unlinked files, for as long as somebody looks at them."""

    def __init__(self) -> None:
        self._tiers: dict[Mapping, int] = {}

    def retire(self, tier: int, mapping: Mapping) -> None:
        """Close the mapping of a file that is gone, or about to be: at once, or when the last view
        of it is released.
        """
        mapping.close()
        for earlier in list(self._tiers):
            if not earlier.mapped:
                self._tiers.pop(earlier, None)
        if mapping.mapped:
            self._tiers[mapping] = tier

    def bytes_of(self, tier: int) -> int:
        """Bytes of a tier's unlinked files that are still mapped."""
        return sum(
            mapping.size
            for mapping, owner in list(self._tiers.items())
            if owner == tier and mapping.mapped
        )


__all__ = ["Pins"]
