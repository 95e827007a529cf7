"""One entry whose bytes are sound and become no value stands in the way of no other."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from fastmem import SerializationError
from tests.crash.directories import open_archive, open_segments, open_tiers

GOOD = {f"k{i}": i for i in range(20)}
BAD = {"gone-1", ("gone", 2)}


@pytest.fixture(params=[open_segments, open_archive, open_tiers])
def store(private_tmp: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> Any:
    """Good entries, and two of a class that is gone."""
    module = types.ModuleType("module_gone")
    exec("class Gone: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "module_gone", module)
    with request.param(private_tmp) as store:
        for key in BAD:
            store.put(key, module.Gone())
        store.update(GOOD)
    monkeypatch.delitem(sys.modules, "module_gone")
    with request.param(private_tmp) as store:
        yield store


def test_popitem_passes_over_them(store: Any) -> None:
    assert dict(store.popitem() for _ in GOOD) == GOOD
    for _ in range(2):
        with pytest.raises(KeyError, match="no entry that can be read"):
            store.popitem()
    assert set(store) == BAD
    store.clear()
    assert len(store) == 0


def test_items_names_the_key_and_keys_leads_past_it(store: Any) -> None:
    for view in (store.items(), store.values()):
        with pytest.raises(SerializationError, match="module_gone") as caught:
            list(view)
        assert caught.value.key in BAD
        assert f"of the key {caught.value.key!r}, " in caught.value.__notes__[0]
    read = {}
    for key in store:
        try:
            read[key] = store.peek(key)
        except SerializationError as error:
            assert error.key == key  # noqa: PT017 - each of them
    assert read == GOOD


def test_the_error_keeps_its_key_when_it_travels(store: Any) -> None:
    with pytest.raises(SerializationError) as caught:
        store.get("gone-1")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (error.key, error.path, error.message) == (
        "gone-1", caught.value.path, caught.value.message,
    )  # fmt: skip
    assert error.__notes__ == caught.value.__notes__


def test_an_error_of_writing_has_no_key(store: Any) -> None:
    with pytest.raises(SerializationError) as caught:
        store.put("k", [lambda: 0])
    assert caught.value.key is None
    assert caught.value.path == "value[0]"
