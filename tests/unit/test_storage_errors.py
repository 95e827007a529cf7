"""Errors of the lower tiers name the place; sound bytes that are no value are counted one way."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError, SerializationError, StoreError
from fastmem._core.mapping import Mapping
from fastmem.storage import files
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers

OPENERS = [open_segments, open_archive, open_tiers]


class Words:
    """A serializer of its own."""

    def dumps(self, value: object, /) -> bytes:
        return repr(value).encode()

    def loads(self, data: bytes, /) -> object:
        return data.decode()


@pytest.mark.parametrize("opener", OPENERS)
def test_undecodable_values_are_counted_and_placed(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp, serializer=Words()) as store:
        store.put("k", 7)
    with opener(private_tmp) as store:
        for _ in range(2):
            with pytest.raises(SerializationError, match="custom serializer") as caught:
                store.get("k")
            assert "of the key 'k', in the record at offset" in caught.value.__notes__[0]
            assert str(private_tmp) in caught.value.__notes__[0]
        stats = store.stats()
        errors = stats.get("l2", stats)["errors"]
        assert {kind: count for kind, count in errors.items() if count} == {"undecodable": 2}
        counts = stats.get("l2", stats)
        assert (counts["hits"], counts["misses"]) == (0, 0) or opener is open_tiers


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.put("k", 1),
        lambda store: store.put("k", bytes(300_000)),
        lambda store: store.delete("k"),
        lambda store: len(store),
        lambda store: list(store),
        lambda store: store.flush(),
        lambda store: store.check(),
        lambda store: store.__enter__(),
    ],
)
def test_a_closed_store_names_its_directory(
    private_tmp: Path, opener: Any, use: Callable[[Any], Any]
) -> None:
    store = opener(private_tmp)
    directory = engine_of(store).files.directory.path
    store.close()
    with pytest.raises(ClosedError, match=f"closed: '{directory}'"):
        use(store)


@pytest.mark.parametrize("opener", [open_segments, open_archive])  # a memory's L1 refuses first
def test_reading_a_closed_store_names_its_directory(private_tmp: Path, opener: Any) -> None:
    store = opener(private_tmp)
    directory = engine_of(store).files.directory.path
    store.close()
    with pytest.raises(ClosedError, match=f"closed: '{directory}'"):
        store.get("k")
    with pytest.raises(ClosedError, match=f"closed: '{directory}'"):
        assert "k" in store


@pytest.mark.parametrize("opener", OPENERS)
def test_a_failed_sync_names_the_directory_and_what_is_not_safe(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    class Failing(Mapping):
        def sync(self, offset: int, length: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "map_file", Failing)
    with opener(private_tmp) as store:
        store.put("k", 1)
        with pytest.raises(OSError, match="Input/output error") as caught:
            store.flush()
        assert str(private_tmp) in str(caught.value)
        with pytest.raises(
            StoreError, match=r"reopen the store \(\d+ bytes are not synced\)"
        ) as again:
            store.flush()
        assert str(private_tmp) in str(again.value)
