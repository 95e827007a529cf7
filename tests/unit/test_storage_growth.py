"""The index through its doublings: every key found, met once, and gone when deleted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, MissingSymbolError, SegmentStore
from fastmem._core import hashing
from fastmem.storage import symbols
from fastmem.storage.opening import StoreFiles
from tests.crash.directories import engine_of, open_segments, open_tiers

MANY = 220_000


@pytest.fixture
def tiny_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that begin with 16 buckets, so that a few thousand keys double them often."""
    real = StoreFiles.__init__

    def init(self: StoreFiles, *args: Any, **options: Any) -> None:
        real(self, *args, **{**options, "initial_level": 4})

    monkeypatch.setattr(StoreFiles, "__init__", init)


def test_many_small_keys(private_tmp: Path) -> None:
    with SegmentStore(private_tmp / "l2", budget_bytes=64 << 20) as store:
        start = engine_of(store).log.buckets[0]
        for i in range(MANY):
            store.put(i, i)
        assert engine_of(store).log.buckets[0] >= 8 * start
        store.check()
        assert len(store) == MANY
        assert all(store.get(i) == i for i in range(0, MANY, 7))
        met = list(store)
        assert len(met) == MANY
        assert set(met) == set(range(MANY))
        for i in range(0, MANY, 2):
            store.delete(i)
        assert len(store) == MANY // 2
        store.check()
    with SegmentStore(private_tmp / "l2", budget_bytes=64 << 20) as store:
        assert not store.stats()["rebuilt"]
        assert sorted(store) == list(range(1, MANY, 2))


def test_iteration_meets_each_key_once_while_the_table_grows(
    private_tmp: Path, tiny_index: None
) -> None:
    with open_segments(private_tmp) as store:
        first = range(300)
        store.update({i: i for i in first})
        added = 300
        met = []
        for key in store:
            met.append(key)
            for _ in range(20):
                store.put(added, added)
                added += 1
        assert len(met) == len(set(met))
        assert set(first) <= set(met)
        assert engine_of(store).log.buckets[0] > 1000
        store.check()


def test_every_doubling_and_every_reopening(private_tmp: Path, tiny_index: None) -> None:
    model: dict[int, int] = {}
    draw = random.Random(8)
    for size in (10, 79, 81, 100, 333, 1500, 6000):
        with open_segments(private_tmp) as store:
            assert {key: store.get(key) for key in store} == model
            while len(model) < size:
                key = draw.randrange(20_000)
                if draw.random() < 0.2:
                    assert store.delete(key) == (model.pop(key, None) is not None)
                else:
                    store.put(key, size)
                    model[key] = size
                if len(model) % 64 == 0:
                    store.check()
            store.check()


def test_the_tag_bits_run_out_and_chains_grow(private_tmp: Path, monkeypatch: Any) -> None:
    """A table of one bucket doubles sixteen times at most; here the limit comes at once."""
    real = StoreFiles.grow

    def never_more_buckets(self: StoreFiles, name: str) -> None:
        if name == "index":
            raise OSError(28, "No space left on device")
        real(self, name)

    monkeypatch.setattr(StoreFiles, "grow", never_more_buckets)
    with open_segments(private_tmp) as store:
        for i in range(30_000):
            store.put(i, i)
        assert engine_of(store).log.buckets[2] > 3000  # overflow buckets
        store.check()
        assert all(store.get(i) == i for i in range(30_000))
        assert sorted(store) == list(range(30_000))
        for i in range(0, 30_000, 3):
            store.delete(i)
        store.check()
        assert store.stats()["errors"]["no_space"] > 0
        monkeypatch.undo()
        for i in range(30_000):
            store.put(i, -i)
        store.check()
        assert all(store.get(i) == -i for i in range(30_000))


def test_keys_of_every_length_at_the_ends_of_segments(private_tmp: Path) -> None:
    draw = random.Random(2)
    with open_tiers(private_tmp) as memory:
        model = {}
        for _ in range(250):
            key = draw.randbytes(draw.choice([0, 1, 15, 16, 17, 4000, 60_000]))
            value = draw.randbytes(draw.choice([0, 1, 16, 255, 65_536, 262_144]))
            model[key] = value
            memory.put(key, value)
        assert {key: memory.get(key) for key in model} == model
        memory.check()
    with open_tiers(private_tmp) as memory:
        assert {key: memory.get(key) for key in model} == model


def test_missing_symbols_name_the_wheel(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols.bind_xxh3.cache_clear()
    try:
        monkeypatch.setattr(hashing, "bind", lambda _path: ["XXH3_64bits"])
        with pytest.raises(MissingSymbolError, match=r"xxhash .*XXH3_64bits"):
            open_segments(private_tmp)
        with pytest.raises(ImportError, match="xxhash"):
            Archive(private_tmp / "l3")
        assert list(private_tmp.iterdir()) == []
        monkeypatch.undo()
        assert hashing.bind(b"/nowhere/at/all.so") != []
        monkeypatch.setattr(hashing, "digest", lambda _data: 1)
        with pytest.raises(MissingSymbolError, match="disagrees"):
            open_segments(private_tmp)
    finally:
        monkeypatch.undo()
        symbols.bind_xxh3.cache_clear()
    open_segments(private_tmp).close()
