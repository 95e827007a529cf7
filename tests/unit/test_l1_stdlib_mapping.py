"""CPython's own tests of mappings, run on `L1Cache`, and the list of what differs from a dict."""

from typing import Any

import pytest

from fastmem import L1Cache

mapping_tests = pytest.importorskip(
    "test.mapping_tests", reason="the standard library's tests are not installed"
)

# What a dict has beyond MutableMapping. A copy would share a budget or double it, `fromkeys` has
# no budget to give, and a repr that prints every value of a cache is of no use in a log.
DIFFERENT = ("copy", "fromkeys", "repr", "repr_deep")


class Roomy(L1Cache):
    """Made as a dict is made, with room for everything that the tests store."""

    def __init__(self, *others: Any, **items: Any) -> None:
        super().__init__(1 << 26)
        self.update(*others, **items)


class Copied(Roomy):
    def copy(self) -> "Copied":
        return Copied(self)


class TestHashMapping(mapping_tests.TestHashMappingProtocol):  # type: ignore[misc,name-defined]
    type2test: type[Roomy] = Roomy

    # They compare a dict's popitem of equal copies; the order of ours is that of use.
    def test_popitem(self) -> None:
        self.type2test = Copied
        super().test_popitem()


for name in DIFFERENT:
    setattr(TestHashMapping, f"test_{name}", None)


def test_the_differences_are_still_there() -> None:
    cache = Roomy(a=1)
    assert not hasattr(cache, "copy")
    assert not hasattr(Roomy, "fromkeys")
    assert repr(cache) != repr(dict(cache))


def test_nearly_all_of_them_run() -> None:
    theirs = {name for name in dir(mapping_tests.TestHashMappingProtocol) if name[:5] == "test_"}
    ours = {name for name in theirs if getattr(TestHashMapping, name) is not None}
    assert len(theirs) >= 20
    assert theirs - ours == {f"test_{name}" for name in DIFFERENT}
