"""A record on its way into the warm log."""

from __future__ import annotations

from typing import NamedTuple


class Prepared(NamedTuple):
    """A warm record ready to append: the arguments of `Log.put` after the key."""

    body: bytes
    codec: int
    deadline_ns: int
    written_ms: int
    kind: int
    flags: int
    mac_key: int
