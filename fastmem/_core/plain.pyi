from collections.abc import Callable
from typing import Any, Final

RAW_BYTES: Final[int]
TEXT: Final[int]
MSGPACK: Final[int]

class PlainCodec:
    def __init__(
        self, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any], encodes: bool
    ) -> None: ...
    def plain_body(self, value: object, form: int) -> tuple[int, bytes] | None: ...
