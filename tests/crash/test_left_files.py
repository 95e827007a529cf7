"""What a power loss may leave of files: nothing of it stays for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.directories import Opener, open_archive, open_segments, open_tiers
from tests.crash.test_evicted import restart_machine


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_value_files_without_a_segment_after_a_clean_close(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Opener
) -> None:
    with opener(private_tmp) as store:
        store.put("k", os.urandom(300_000))
    for segment in [*private_tmp.glob("*/seg.*"), *private_tmp.glob("*/cold.*")]:
        segment.unlink()
    assert list(private_tmp.glob("*/val.*"))
    restart_machine(private_tmp, monkeypatch)
    with opener(private_tmp) as store:
        assert dict(store) == {}
        assert not list(private_tmp.glob("*/val.*"))
        store.check()


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_a_segment_without_a_byte_is_no_stranger(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Opener
) -> None:
    """Its name reached the device, and its size did not."""
    with opener(private_tmp) as store:
        store.put("k", "v")
    (segment, *_) = [*private_tmp.glob("*/seg.*"), *private_tmp.glob("*/cold.*")]
    segment.with_suffix(".1").touch()
    restart_machine(private_tmp, monkeypatch)
    with opener(private_tmp) as store:
        assert dict(store) == {"k": "v"}
        store.check()
    assert not list(private_tmp.glob("*/foreign.*"))
