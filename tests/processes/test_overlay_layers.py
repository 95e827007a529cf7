"""Overlay file systems: a reader never maps a file that later writers do not write."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from fastmem import DirectoryRefusedError, SegmentStore
from fastmem.storage import files, overlays
from tests.crash.directories import open_archive, open_segments, open_tiers, snapshot

BEGIN = """
import sys
from pathlib import Path
from fastmem import SegmentStore
BUDGET = 16 << 20
def look(at):
    try:
        with SegmentStore(at, budget_bytes=BUDGET, read_only=True) as store:
            return dict(sorted(store.items()))
    except OSError as error:
        return f"{type(error).__name__} {error.filename} {error.strerror}"
def write(at, key):
    with SegmentStore(at, budget_bytes=BUDGET) as store:
        store.put(key, 1)
"""


@pytest.fixture
def layers(private_tmp: Path) -> Path:
    """Three directories for an overlay, a store in the lowest of them."""
    for name in ("low", "empty", "up", "work", "both"):
        (private_tmp / name).mkdir(mode=0o700)
    with SegmentStore(private_tmp / "low/store", budget_bytes=16 << 20) as store:
        store.put("a", 1)
    return private_tmp


def on_overlay(layers: Path, options: str, code: str) -> list[str]:
    """What `code` printed in a process that has the overlay mounted at `both`."""
    mount = f"mount -t overlay overlay -o {options} both"
    for unshare in (["unshare", "-m"], ["unshare", "-Urm"]):
        tried = subprocess.run(
            [*unshare, "sh", "-c", mount], cwd=layers, capture_output=True, check=False
        )
        if tried.returncode == 0:
            break
    else:
        pytest.skip("no overlay can be mounted here")
    done = subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", BEGIN + code],
        cwd=layers,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_lies_on_the_lower_layer_is_refused_until_it_is_copied_up(layers: Path) -> None:
    refused, upper, before, after = on_overlay(
        layers,
        f"lowerdir=low,upperdir={layers}/up,workdir={layers}/work",
        "print(look('both/store'))\n"
        f"print(sorted(path.name for path in Path({str(layers / 'up')!r}).rglob('*')))\n"
        "write('both/store', 'b')\n"
        "print(look('both/store'))\n"
        "write('both/store', 'c')\n"
        "print(look('both/store'))\n",
    )
    assert refused.startswith(f"DirectoryRefusedError {layers}/both/store/")
    assert "lower layer of an overlay" in refused
    assert upper == "[]"
    assert (before, after) == ("{'a': 1, 'b': 1}", "{'a': 1, 'b': 1, 'c': 1}")


def test_where_the_upper_layer_is_out_of_sight_the_kernel_tells_what_was_made_there(
    layers: Path,
) -> None:
    """As in a container: relative, the path of the layer means nothing to other processes."""
    made, refused = on_overlay(
        layers,
        "lowerdir=low,upperdir=up,workdir=work",
        "write('both/new', 'b')\nprint(look('both/new'))\nprint(look('both/store'))\n",
    )
    assert made == "{'b': 1}"
    if tuple(map(int, _kernel().split(".")[:2])) >= (6, 6):
        assert "lower layer of an overlay" in refused


def _kernel() -> str:
    return Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").split("-")[0]


@pytest.mark.parametrize("options", ["lowerdir=low:empty", "ro,lowerdir=low,upperdir=up"])
def test_where_nobody_can_write_everybody_may_read(layers: Path, options: str) -> None:
    if "upperdir" in options:
        options += f",workdir={layers}/work"
    assert on_overlay(layers, options, "print(look('both/store'))") == ["{'a': 1}"]


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_a_reader_is_refused_and_a_writer_is_not(
    private_tmp: Path, opener: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(opener)
    opener(private_tmp).close()
    before = {folder: snapshot(folder) for folder in private_tmp.iterdir()}
    monkeypatch.setattr(files, "is_lower", lambda _fd: True)
    with pytest.raises(DirectoryRefusedError, match="lower layer of an overlay") as caught:
        opener(private_tmp, read_only=True)
    assert caught.value.errno == errno.EOPNOTSUPP
    assert Path(caught.value.filename).parent in before
    assert {folder: snapshot(folder) for folder in private_tmp.iterdir()} == before
    opener(private_tmp).close()


def test_mounts_are_read_as_the_kernel_writes_them(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blanks in paths, a directory of the overlay mounted alone, a layer that is not to be seen."""
    upper = private_tmp / "up per"
    (upper / "inner").mkdir(parents=True)
    (upper / "inner/file").touch()
    text = f"7 1 0:3 /inner /mnt/a\\040b rw - overlay o rw,upperdir={upper}".replace(
        "up per", "up\\040per"
    )
    mounts = private_tmp / "mountinfo"
    mounts.write_text(f"6 1 0:3 / / rw - ext4 d rw\n{text}\n", encoding="utf-8")
    monkeypatch.setattr(overlays, "_MOUNTS", mounts)
    fields = text.split(" ")
    mount = overlays.Mount(fields[3], overlays._plain(fields[4]), str(upper))
    assert overlays._is_in(str(upper), mount, "/mnt/a b/file") is True
    assert overlays._is_in(str(upper), mount, "/mnt/a b/other") is False
    assert overlays._is_in(str(upper), mount, "/mnt/elsewhere") is None
    assert overlays._is_in(str(private_tmp / "gone"), mount, "/mnt/a b/file") is None
    with (upper / "inner/file").open() as file:
        assert not overlays.is_lower(file.fileno())
        assert overlays._mount_of(file.fileno()) is None
