"""The order of the visits, and how a walker tells which tier answered."""

import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fastmem.demo.ledger import Ledger
from fastmem.demo.workload import Visit, Walker, recompute, visits


class Shelf:
    """A memory of two entries in "l1" above an endless "l2", with the counters of the real one."""

    def __init__(self) -> None:
        self.hot: dict[Any, bool] = {}
        self.all: dict[Any, Any] = {}
        self.hits = {"l1": 0, "l2": 0, "l3": 0}

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self.all:
            return default
        self.hits["l1" if key in self.hot else "l2"] += 1
        self._heat(key)
        return self.all[key]

    def put(self, key: Any, value: Any) -> None:
        self.all[key] = value
        self._heat(key)

    def _heat(self, key: Any) -> None:
        self.hot.pop(key, None)
        self.hot[key] = True
        while len(self.hot) > 2:
            del self.hot[next(iter(self.hot))]

    def stats(self) -> Any:
        return {name: {"hits": hits, "bytes": 0} for name, hits in self.hits.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(f"def {name}(x): return x + 1\n")
    (tmp_path / "d.py").write_text("def d(:\n")
    return tmp_path


@pytest.fixture
def shelf() -> Any:
    return Shelf()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(started=0)


@pytest.fixture
def walker(root: Path, shelf: Any, ledger: Ledger) -> Walker:
    files = ["a.py", "b.py", "c.py", "d.py"]
    return Walker(shelf, root, files, ledger)


def answers(ledger: Ledger) -> dict[str, int]:
    return {name: len(track) for name, track in ledger.tracks.items()}


def test_visits_are_the_same_for_the_same_seed() -> None:
    first = list(islice(visits(50, seed=1), 200))
    assert first == list(islice(visits(50, seed=1), 200))
    assert first != list(islice(visits(50, seed=2), 200))


def test_visits_are_skewed_and_stay_in_range() -> None:
    seen = Counter(visit.module for visit in islice(visits(500, seed=3), 5000))
    assert set(seen) <= set(range(500))
    top = sum(count for _, count in seen.most_common(50))
    assert top > 0.35 * 5000  # a tenth of the modules; 0.1 if they were equally popular
    assert len(seen) > 250  # and yet most of them are visited


def test_visits_drift() -> None:
    sequence = visits(500, seed=3)
    early = Counter(visit.module for visit in islice(sequence, 3000))
    late = Counter(visit.module for visit in islice(sequence, 12000, 15000))
    favourites = [{module for module, _ in seen.most_common(20)} for seen in (early, late)]
    assert favourites[0] != favourites[1]


def test_one_module_is_enough() -> None:
    assert {visit.module for visit in islice(visits(1, seed=0), 60)} == {0}


def test_each_value_is_computed_once_and_hits_are_told_by_tier(
    walker: Walker, ledger: Ledger
) -> None:
    walker.follow(Visit(0, (0.0,)))
    assert answers(ledger) == {"l1": 0, "l2": 0, "l3": 0, "computed": 2}
    walker.follow(Visit(0, (0.9,)))
    assert answers(ledger) == {"l1": 2, "l2": 0, "l3": 0, "computed": 2}
    walker.follow(Visit(1, ()))
    walker.follow(Visit(2, ()))
    walker.follow(Visit(0, ()))
    assert answers(ledger) == {"l1": 2, "l2": 1, "l3": 0, "computed": 4}
    assert not ledger.wrong
    assert not ledger.lost
    assert ledger.samples


def test_a_file_that_does_not_parse_is_refused_each_time(walker: Walker, ledger: Ledger) -> None:
    walker.follow(Visit(3, (0.5,)))
    walker.follow(Visit(3, (0.5,)))
    assert answers(ledger)["computed"] == 0
    assert [key[1] for key in ledger.refusals] == ["d.py"]


def test_an_edited_file_is_another_key(walker: Walker, ledger: Ledger, root: Path) -> None:
    walker.follow(Visit(0, ()))
    (root / "a.py").write_text("def other(): return 1\n")
    walker.follow(Visit(0, ()))
    assert answers(ledger)["computed"] == 2
    assert not ledger.wrong


def test_a_hit_that_no_tier_counted_is_an_error(
    walker: Walker, monkeypatch: pytest.MonkeyPatch
) -> None:
    walker.follow(Visit(0, ()))
    frozen = walker.memory.stats()
    monkeypatch.setattr(walker.memory, "stats", lambda: frozen)
    with pytest.raises(RuntimeError, match="no tier counted a hit"):
        walker.follow(Visit(0, ()))


def test_recompute_gives_what_was_put(walker: Walker, shelf: Any, root: Path) -> None:
    walker.follow(Visit(0, (0.0,)))
    for key, value in shelf.all.items():
        assert recompute(root, key) == value
    (kind, name, size, changed, version), _ = shelf.all
    assert version == sys.hexversion
    assert recompute(root, (kind, name, size + 1, changed, version)) is None
    assert recompute(root, ("function", name, size, changed, version, "gone", 1)) is None
