"""Puts that are all interrupted after their commit leave room owed, and not without bound."""

import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.crash.directories import (
    BUDGET,
    SEGMENT,
    engine_of,
    linked_bytes,
    open_segments,
    open_tiers,
)

LARGE_BYTES = 400_000


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_what_is_owed_is_paid_by_the_next_put(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    with opener(private_tmp) as store:
        with monkeypatch.context() as interrupting:
            interrupting.setattr(engine_of(store).room, "do_chores", interrupted)
            for number in range(3 * BUDGET // LARGE_BYTES):
                with pytest.raises(KeyboardInterrupt):
                    store.put(number, os.urandom(LARGE_BYTES))
                assert linked_bytes(private_tmp / "l2") <= BUDGET + 2 * SEGMENT
        assert store.get(number) is not None
        store.put("quiet", 1)
        assert linked_bytes(private_tmp / "l2") <= BUDGET
        store.check()
