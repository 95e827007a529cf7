"""Records on their way into a log. Plain tuples: one is made with every put."""

from __future__ import annotations

from typing import NamedTuple

# The arguments of `Log.put` after the key:
# body with its MAC, codec, deadline_ns (wall clock), written_ms, kind, flags, mac_key.
WarmRecord = tuple[bytes, int, int, int, int, int, int]

# The arguments of `Log.put_cold` after the key: as above, then
# dictionary, raw_len, archived_s, expected word, moved.
ColdRecord = tuple[bytes, int, int, int, int, int, int, int, int, int, int | None, bool]


class Stamped(NamedTuple):
    """An encoded value with what its record says about it, before either log makes a record."""

    content: bytes
    codec: int
    deadline_ns: int  # by the wall clock, 0 = never
    written_ms: int
    mac: bytes
    mac_key: int
