"""An encoded value on its way into a log."""

from __future__ import annotations

from typing import NamedTuple


class Stamped(NamedTuple):
    """An encoded value with what its record says about it, before either log makes a record."""

    content: bytes
    codec: int
    deadline_ns: int  # by the wall clock, 0 = never
    written_ms: int
    mac: bytes
    mac_key: int
