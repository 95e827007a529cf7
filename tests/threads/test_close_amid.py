"""A close while another thread is at work on files: nothing is looked at that is not mapped."""

import threading
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError, SegmentStore
from fastmem.storage.files import Directory
from tests.crash.directories import engine_of

LARGE_BYTES = 300_000


def test_a_flush_that_unlinks_value_files(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SegmentStore(private_tmp / "l2", budget_bytes=64 << 20)
    store.put("k", b"x" * LARGE_BYTES)
    store.flush()  # what is synced may go only after another sync
    store.put("k", b"y" * LARGE_BYTES)
    unlink = Directory.unlink
    amid, closing = threading.Event(), threading.Event()

    def slow(self: Directory, name: str) -> None:
        unlink(self, name)
        if name.startswith("val.") and threading.current_thread() is flushing:
            amid.set()
            closing.wait(0.2)  # as long as a busy device takes: the close comes in

    monkeypatch.setattr(Directory, "unlink", slow)
    flushing = threading.Thread(target=store.flush)
    flushing.start()
    assert amid.wait(10)
    store.close()
    closing.set()
    flushing.join()
    with SegmentStore(private_tmp / "l2", budget_bytes=64 << 20) as again:
        assert again.get("k") == b"y" * LARGE_BYTES
        assert again.verify() == 1


@pytest.mark.parametrize(
    "late",
    [
        lambda engine: engine.wait_for_lock(),
        lambda engine: engine.log.note_change(),
        lambda engine: engine.log.note_value_change(),
        lambda engine: engine.pass_lock(),
    ],
)
def test_what_a_thread_does_after_the_close_of_another(private_tmp: Path, late: Any) -> None:
    store = SegmentStore(private_tmp / "l2", budget_bytes=64 << 20)
    engine = engine_of(store)
    store.close()
    with pytest.raises(ClosedError):
        late(engine)
