"""The fixtures that other folders rely on."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import settings

from tests.conftest import find_shared


def test_shared_data_is_found_where_told(tmp_path: Path) -> None:
    assert find_shared({"FASTMEM_SHARED": str(tmp_path), "CI": "true"}) == tmp_path


def test_missing_shared_data_fails_in_ci_and_skips_elsewhere(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    with pytest.raises(pytest.fail.Exception, match="FASTMEM_SHARED"):
        find_shared({"FASTMEM_SHARED": gone, "CI": "true"})
    with pytest.raises(pytest.skip.Exception, match="gone"):
        find_shared({"FASTMEM_SHARED": gone})


def test_private_tmp_is_private_and_empty(private_tmp: Path) -> None:
    assert stat.S_IMODE(private_tmp.stat().st_mode) == 0o700
    assert private_tmp.resolve() == private_tmp
    assert list(private_tmp.iterdir()) == []


def test_profiles_have_no_deadline_and_nightly_looks_harder() -> None:
    ci, nightly = settings.get_profile("ci"), settings.get_profile("nightly")
    assert ci.deadline is nightly.deadline is None
    assert nightly.max_examples >= 10 * ci.max_examples >= 10 * 50
