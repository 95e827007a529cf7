"""What every test folder shares: hypothesis profiles, data beside the project, private folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "ci",
    deadline=None,  # timing never fails a test
    print_blob=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=1_000)
PROFILE = os.environ.get("FASTMEM_PROFILE", "ci")
settings.load_profile(PROFILE)
NIGHTLY_TIMEOUT_S = 4 * 3600  # a hang ends too; on a busy machine the counts take an hour


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PROFILE == "nightly":
        for item in items:
            item.add_marker(pytest.mark.timeout(NIGHTLY_TIMEOUT_S))


def find_shared(environ: Mapping[str, str]) -> Path:
    """The folder of traces beside the project; without it CI fails and others skip."""
    path = Path(environ.get("FASTMEM_SHARED") or ROOT.parent / "shared")
    if path.is_dir():
        return path
    reason = f"no folder {path}: set FASTMEM_SHARED to the data beside the project"
    if environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """``$FASTMEM_SHARED``, by default ``../shared``."""
    return find_shared(os.environ)


@pytest.fixture
def private_tmp(tmp_path: Path) -> Path:
    """A fresh directory of mode 0700 with no symbolic link on its path, as a store asks for."""
    path = tmp_path.resolve() / "private"
    path.mkdir()
    path.chmod(0o700)  # mkdir's own mode passes through the umask
    return path


@pytest.fixture
def places(private_tmp: Path) -> tuple[Path, Path]:
    """Where a memory's L2 and L3 may be made."""
    return private_tmp / "l2", private_tmp / "l3"


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Threads change places between almost any two bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
