"""`check()` finds what is wrong under ``python -O`` too, which takes plain asserts away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from fastmem import TieredMemorySystem
from fastmem._core.keys import encode_key
top, flaw = sys.argv[1:]
memory = TieredMemorySystem(1, top + "/l2", top + "/l3", l2_size_mb=16)
memory.put("k", 1)
memory.check()
if flaw == "is only in L1":
    memory._engine.delete(encode_key("k"))
else:
    memory._put_dirty("k", 2, 100, 0, encode_key("k"), None)
try:
    memory.check()
except AssertionError as error:
    print(error)
memory.close()
"""


@pytest.mark.parametrize("flags", [(), ("-O",)])
@pytest.mark.parametrize("flaw", ["is only in L1", "is dirty in a write-through memory"])
def test_a_memory_whose_l1_does_not_fit(
    private_tmp: Path, flags: tuple[str, ...], flaw: str
) -> None:
    done = subprocess.run(
        [sys.executable, *flags, "-c", CODE, private_tmp, flaw],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"'k' {flaw}\n"
