"""What another process does to the log of a memory, done to the very files by this one."""

from __future__ import annotations

import time
from typing import Any

from fastmem import TieredMemorySystem
from fastmem._core.drafts import Draft
from fastmem._core.keys import encode_key
from fastmem._core.layout import VALUE
from fastmem._core.sizing import measure


class Elsewhere:
    """Changes the log behind L1's back, from now on a shared one."""

    def __init__(self, memory: TieredMemorySystem) -> None:
        self.memory = memory
        self.engine = memory._engine
        self.come()

    def come(self, joined: int = 1) -> None:
        self.engine.files.super.set("joined", joined)

    def draft(self, value: Any) -> Draft:
        codec, body = self.memory._codec.encode(value, measure(value)[1])
        return Draft(body, codec, 0, time.time_ns() // 1_000_000, VALUE)

    def put(self, key: Any, value: Any, expected: int | None = None) -> bool:
        """With `expected`: only while that is the key's word."""
        done = self.engine.provided(
            self.engine.log.put, encode_key(key), self.draft(value), expected
        )
        self.engine.settle()
        return bool(done)

    def delete(self, key: Any) -> bool:
        done = self.engine.provided(self.engine.log.delete, encode_key(key))
        self.engine.settle()
        return bool(done)

    def increment(self, key: Any) -> None:
        """As any process does: read, add, and put only over what was read."""
        while True:
            found = self.engine.read(encode_key(key))
            word, value = 0, 0
            if found is not None:
                word, value = found[0].word, self.memory._decode(*found)
            if self.put(key, value + 1, word):
                return

    def fill(self, count: int) -> None:
        """So many new keys, which make the index grow."""
        for number in range(count):
            self.put(("elsewhere", number), number)
