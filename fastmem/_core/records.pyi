from fastmem._core.windows import Window

class Record:
    key: bytes
    body: bytes
    window: Window | None
    word: int
    version: int
    home: int
    stamp: int
    deadline_ns: int
    written_ms: int
    dictionary: int
    raw_len: int
    archived_s: int
    codec: int
    mac_key: int
    kind: int
    flags: int
    live: bool
    read_before: bool
