from typing import Self, final

@final
class Draft:
    body: bytes
    codec: int
    deadline_ns: int
    written_ms: int
    kind: int
    flags: int
    mac_key: int
    dictionary: int
    raw_len: int
    archived_s: int
    def __new__(
        cls,
        body: bytes,
        codec: int,
        deadline_ns: int,
        written_ms: int,
        kind: int,
        flags: int = 0,
        mac_key: int = 0,
        dictionary: int = 0,
        raw_len: int = 0,
        archived_s: int = 0,
    ) -> Self: ...
