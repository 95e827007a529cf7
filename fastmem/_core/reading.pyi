from fastmem._core.logfiles import LogFiles
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

class LogReader(LogFiles):
    corrupt_places: set[int]
    wall_offset_ns: int
    def get(self, key: bytes) -> Record | None: ...
    def pointer(self, key: bytes) -> bytes | None: ...
    def peek(self, key: bytes) -> Record | None: ...
    def seek(self, key: bytes) -> int: ...
    def was_touched(self, key: bytes) -> bool: ...
    @property
    def warm_entries(self) -> int: ...
    @property
    def cold_entries(self) -> int: ...
    @property
    def buckets(self) -> tuple[int, int, int, int]: ...
