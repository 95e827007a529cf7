"""Which directories are refused, and that a refusal leaves them alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fastmem import DirectoryRefusedError, FormatError
from fastmem.storage import files
from tests.children import forked
from tests.crash.directories import contents, open_archive, open_segments, open_tiers, snapshot

NOBODY = 65_534
OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


def filled(at: Path) -> Path:
    with open_segments(at) as store:
        store.put("k", "v")
    return at / "l2"


def refused(at: Path, why: str) -> None:
    before = snapshot(at / "l2")
    with pytest.raises(DirectoryRefusedError, match=why) as caught:
        open_segments(at)
    assert caught.value.filename == str(at / "l2")
    assert snapshot(at / "l2") == before


def test_a_new_directory_is_private(private_tmp: Path) -> None:
    old = os.umask(0)
    try:
        filled(private_tmp)
        with open_archive(private_tmp) as archive:
            archive.put("k", os.urandom(300_000))
    finally:
        os.umask(old)
    for folder in (private_tmp / "l2", private_tmp / "l3"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_writable_by_others(private_tmp: Path, mode: int) -> None:
    folder = filled(private_tmp)
    folder.chmod(mode)
    refused(private_tmp, "others may write")
    folder.chmod(0o755)  # readable by others is the user's own business
    open_segments(private_tmp).close()


def test_another_owner(private_tmp: Path) -> None:
    folder = filled(private_tmp)
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    os.chown(folder, NOBODY, NOBODY)
    refused(private_tmp, "belongs to user")


def test_links_on_the_path(private_tmp: Path) -> None:
    filled(private_tmp / "real")
    (private_tmp / "linked").symlink_to(private_tmp / "real")
    before = snapshot(private_tmp / "real" / "l2")
    with pytest.raises(DirectoryRefusedError, match="symbolic link"):
        open_segments(private_tmp / "linked")
    (private_tmp / "direct").mkdir()
    (private_tmp / "direct" / "l2").symlink_to(private_tmp / "real" / "l2")
    with pytest.raises(DirectoryRefusedError, match="symbolic link"):
        open_segments(private_tmp / "direct")
    assert snapshot(private_tmp / "real" / "l2") == before


# The length of a link's target is what lstat says of its size: less, and more, than the least of
# any file of the store.
TARGETS = pytest.mark.parametrize("target", ["../victim", "./" * 40 + "../victim"])


@TARGETS
@pytest.mark.parametrize("name", ["super", "procs", "seg.0"])
def test_a_link_in_place_of_a_file_is_not_followed(
    private_tmp: Path, name: str, target: str
) -> None:
    folder = filled(private_tmp)
    victim = private_tmp / "victim"
    (folder / name).rename(victim)
    (folder / name).symlink_to(target)
    before = victim.read_bytes()
    with pytest.raises(OSError):
        open_segments(private_tmp)
    assert (folder / name).is_symlink()
    assert victim.read_bytes() == before
    (folder / name).unlink()
    victim.rename(folder / name)
    with open_segments(private_tmp) as store:
        assert contents(store) == {"k": "v"}


@TARGETS
@pytest.mark.parametrize("name", ["index", "overflow"])
def test_an_index_is_made_anew_in_place_of_a_link(
    private_tmp: Path, name: str, target: str
) -> None:
    folder = filled(private_tmp)
    victim = private_tmp / "victim"
    (folder / name).rename(victim)
    before = victim.read_bytes()
    (folder / name).symlink_to(target)
    with open_segments(private_tmp) as store:
        assert contents(store) == {"k": "v"}
    assert not (folder / name).is_symlink()
    assert victim.read_bytes() == before


@OPENERS
def test_a_file_in_place_of_the_directory(private_tmp: Path, opener: Callable[..., object]) -> None:
    for name in ("l2", "l3"):
        (private_tmp / name).write_text("precious")
    with pytest.raises(OSError):
        opener(private_tmp)
    assert (private_tmp / "l2").read_text() == "precious"
    assert (private_tmp / "l3").read_text() == "precious"


def test_a_directory_of_somebody_elses_files_is_left_alone(private_tmp: Path) -> None:
    folder = private_tmp / "l2"
    folder.mkdir(mode=0o700)
    (folder / "super").write_text("a file of another program, longer than the magic")
    (folder / "new.report.txt").write_text("mine")
    before = snapshot(folder)
    with pytest.raises(FormatError):
        open_segments(private_tmp)
    assert snapshot(folder) == before


def test_network_file_systems(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(private_tmp)
    assert folder.is_dir()
    monkeypatch.setattr(files, "filesystem_type", lambda _fd: 0x6969)
    refused(private_tmp, "NFS")


def without_power(body: Callable[[], object]) -> object:
    """Call `body` as a user who may do nothing special."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    return body()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    base = Path("/tmp").resolve() / f"fastmem-{os.getpid()}"
    base.mkdir(mode=0o755)
    try:
        filled(base)
        (base / "l2").chmod(0o500)
        for path in (base / "l2").iterdir():
            path.chmod(0o400)
        if os.geteuid() == 0:
            for path in (base / "l2", *(base / "l2").iterdir()):
                os.chown(path, NOBODY, NOBODY)

        def body() -> None:
            before = snapshot(base / "l2")
            with pytest.raises(PermissionError) as caught:
                open_segments(base)
            assert Path(caught.value.filename).parent == base / "l2"
            with open_segments(base, read_only=True) as store:
                assert store.get("k") == "v"
            assert snapshot(base / "l2") == before

        assert forked(partial(without_power, body)) == "None"
    finally:
        shutil.rmtree(base)
    assert tmp_path.exists()


def test_descriptors_and_mappings_go_with_the_store(private_tmp: Path) -> None:
    def held() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            mapped = sum(str(private_tmp) in line for line in maps)
        return len(os.listdir("/proc/self/fd")), mapped

    before = held()
    for _again in range(5):
        with open_tiers(private_tmp) as memory:
            for i in range(100):
                memory.put(i, os.urandom(200_000))
            assert held()[1] > 0
    assert held() == before
