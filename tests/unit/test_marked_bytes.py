"""Which bytes of a mapped file are set, one of each line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastmem._core.mapping import Mapping


def test_those_of_some_lines(private_tmp: Path) -> None:
    file = private_tmp / "lines"
    file.write_bytes(bytes(8192))
    fd = os.open(file, os.O_RDWR)
    mapping = Mapping(fd, 8192, True)
    os.close(fd)
    assert mapping.marked(8, 64, 127) == []
    for line in (0, 3, 126):
        mapping.store(8 + 64 * line, b"\1")
    mapping.store(9, b"\1")  # no line's
    assert mapping.marked(8, 64, 127) == [0, 3, 126]
    assert mapping.marked(8, 64, 4) == [0, 3]
    with pytest.raises(ValueError, match="outside"):
        mapping.marked(8, 64, 128)
    os.truncate(file, 4096)
    with pytest.raises(OSError, match="gone"):
        mapping.marked(8, 64, 127)
    mapping.close()
    with pytest.raises(ValueError, match="closed"):
        mapping.marked(8, 64, 1)
