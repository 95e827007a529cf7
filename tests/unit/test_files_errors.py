"""An error of the operating system names the file by its full path, and what was wanted of it."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem.storage.files import Directory
from tests.children import forked
from tests.crash.directories import open_segments


@pytest.mark.parametrize(
    "use",
    [
        lambda at: at.open("missing", os.O_RDONLY),
        lambda at: at.stat("missing"),
        lambda at: at.rename("gone", "missing"),
        lambda at: at.publish("gone", "missing"),
        lambda at: at.read("missing", 10),
        lambda at: at.map("missing"),
        lambda at: at.extend("missing", 0, 10),
        lambda at: at.unlink("file/below"),
        lambda at: at.write("missing/below", [b""], sync=False),
        lambda at: at.create("folder", 4096, b""),
    ],
)
def test_the_full_path(private_tmp: Path, use: Callable[[Directory], object]) -> None:
    directory = Directory(private_tmp)
    (private_tmp / "folder").mkdir()
    (private_tmp / "file").touch()
    with pytest.raises(OSError) as caught:
        use(directory)
    named = Path(caught.value.filename).relative_to(private_tmp)
    assert str(named) in ("missing", "folder", "file/below", "new.missing/below")
    assert caught.value.filename2 is None
    assert str(caught.value).count(str(private_tmp)) == 1
    directory.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_too_few_addresses(private_tmp: Path, read_only: bool) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)
    (private_tmp / "l2" / "index").unlink()

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4_000_000 << 10, resource.RLIM_INFINITY))
        with pytest.raises(OSError) as caught:
            open_segments(private_tmp, read_only=read_only)
        assert caught.value.errno == errno.ENOMEM
        assert str(private_tmp / "l2") in caught.value.filename
        assert "bytes of addresses" in str(caught.value)
        assert "ulimit -v" in str(caught.value)

    assert forked(body) == "None"
