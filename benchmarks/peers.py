"""One adapter a peer: how it is opened, and the statements that a user of it would write.

Statements are source text, pasted into timed loops by :mod:`benchmarks.timing`: a peer pays for its
own calls and for nothing of ours. In them ``c`` is what ``make`` returned, ``k`` the key, and
``{v}`` stands for the value expression; ``names`` adds bound methods as fast locals. A peer that
needs a transaction around each operation says so in ``reading`` and ``writing``.

Nothing is imported before a peer is asked for: the machinery runs with no peer installed, and
:func:`why_absent` says what is missing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOUR_S: Final = 3600.0
MAP_BYTES: Final = 16 << 30  # an address range for lmdb, not memory
STORE_BYTES: Final = 4 << 30  # no store row fills it, apart from the one about a full budget


def _no_names(_: Any) -> dict[str, Any]:
    return {}


def _get(c: Any) -> dict[str, Any]:
    return {"get": c.get}


def _close(c: Any) -> None:
    c.close()


def _nothing(_: Any) -> None:
    """In-process caches are dropped, not closed; most stores are ready once loaded."""


@dataclass(frozen=True)
class Peer:
    """A cache or a store. ``None`` for a statement: the peer has no such operation."""

    name: str
    make: Callable[[Any], Any]  # an L1 peer gets a number of entries, a store its directory
    needs: str = ""  # a distribution, or "fastmem:Name" for a public name of ours
    module: str = ""  # what to import, when the distribution is called differently
    names: Callable[[Any], Mapping[str, Any]] = _get
    get: str = "get(k)"
    item: str | None = "c[k]"
    put: str | None = "c[k] = {v}"
    put_new: str | None = ""  # "": as put; for a peer that fills itself by being called
    contains: str = "k in c"
    delete: str = "del c[k]"
    view: str | None = None
    reading: str = ""
    writing: str = ""
    filling: str = ""  # a with line around a whole bulk load
    key: Callable[[str], Any] = str
    any_value: bool = True  # False: takes bytes, others are serialised first
    slow: bool = False  # gets a tenth of the operations
    loaded: Callable[[Any], None] = _nothing  # after a bulk load
    close: Callable[[Any], None] = _close

    def read(self, expression: str) -> str:
        """``expression`` as a statement, inside this peer's read transaction."""
        return f"{self.reading}\n {expression}" if self.reading else expression

    def write(self, statement: str) -> str:
        """``statement`` inside this peer's write transaction."""
        return f"{self.writing}\n {statement}" if self.writing else statement

    def store(self, value: str = "v") -> str:
        """The put statement for a value expression."""
        if self.put is None:
            raise ValueError(f"{self.name} has no put")
        return self.write(self.put.format(v=value))


def why_absent(peer: Peer) -> str | None:
    """``None`` when the peer can be made here; otherwise what is missing."""
    if peer.needs.startswith("fastmem:"):
        return why_no_fastmem(peer.needs.removeprefix("fastmem:"))
    module = peer.module or peer.needs
    if module and importlib.util.find_spec(module) is None:
        return f"{peer.needs} is not installed"
    return None


def why_no_fastmem(name: str) -> str | None:
    """``None`` when ``fastmem.<name>`` exists; otherwise the reason it cannot be used."""
    try:
        module = importlib.import_module("fastmem")
    except ImportError as error:
        return f"fastmem cannot be imported: {error}"
    return None if hasattr(module, name) else f"fastmem.{name} does not exist yet"


def ours(name: str) -> Any:
    """A public name of fastmem."""
    return getattr(importlib.import_module("fastmem"), name)


def versions() -> dict[str, str | None]:
    """The installed version of every distribution that a peer needs; ``None`` when missing."""
    found: dict[str, str | None] = {}
    for needs in ("fastmem", *(p.needs for p in ALL if p.needs and ":" not in p.needs)):
        try:
            found[needs] = importlib.metadata.version(needs)
        except importlib.metadata.PackageNotFoundError:
            found[needs] = None
    return found


# --- in process: made for a number of entries ---------------------------------------------------


def _lru_cache(entries: int) -> Any:
    @functools.lru_cache(maxsize=entries)
    def remembered(k: str) -> int:  # noqa: ARG001 - the key is the argument
        return 7

    return remembered


def _from(module: str, name: str) -> Callable[..., Any]:
    def make(*arguments: Any, **keywords: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **keywords)

    return make


def _l1(name: str, make: Callable[[int], Any], **fields: Any) -> Peer:
    return Peer(name=name, make=make, close=_nothing, **fields)


UNBOUNDED_BYTES: Final = 1 << 40

L1_OURS: Final = _l1("fastmem", lambda _: ours("L1Cache")(UNBOUNDED_BYTES), needs="fastmem:L1Cache")
L1_OURS_S3FIFO: Final = _l1(
    "fastmem",
    lambda _: ours("L1Cache")(UNBOUNDED_BYTES, policy="s3fifo"),
    needs="fastmem:L1Cache",
)
DICT: Final = _l1("dict.get", lambda _: {}, put_new=None)
CACHETOOLS: Final = _l1("cachetools LRU", _from("cachetools", "LRUCache"), needs="cachetools")
L1_PEERS: Final = (
    _l1(
        "functools.lru_cache",
        _lru_cache,
        names=_no_names,
        get="c(k)",
        item=None,
        put=None,
        put_new="c(k)",
    ),
    CACHETOOLS,
    _l1("lru-dict", _from("lru", "LRU"), needs="lru-dict", module="lru"),
    _l1("cachebox LRU", _from("cachebox", "LRUCache"), needs="cachebox"),
)

L1_OURS_TTL: Final = _l1(
    "fastmem",
    lambda _: ours("L1Cache")(UNBOUNDED_BYTES),
    needs="fastmem:L1Cache",
    put="put(k, {v}, hour)",
    names=lambda c: {"get": c.get, "put": c.put, "hour": HOUR_S},
)
TTL_PEERS: Final = (
    _l1(
        "cachetools TTL",
        lambda n: _from("cachetools", "TTLCache")(n, ttl=HOUR_S),
        needs="cachetools",
    ),
    _l1(
        "cachebox VTTL",
        _from("cachebox", "VTTLCache"),
        needs="cachebox",
        put="insert(k, {v}, hour)",
        names=lambda c: {"get": c.get, "insert": c.insert, "hour": HOUR_S},
    ),
)


# --- on disk: made in a directory of their own ---------------------------------------------------


def _lmdb(path: Path, **options: Any) -> Any:
    fast = {"sync": False, "metasync": False, "writemap": True, "map_async": True}
    return importlib.import_module("lmdb").open(
        os.fspath(path), map_size=MAP_BYTES, max_readers=64, **{**fast, **options}
    )


class _LmdbReader:
    """An lmdb environment with one read transaction kept open, which pins its pages."""

    def __init__(self, path: Path, *, buffers: bool) -> None:
        self.env = _lmdb(path)
        self.buffers = buffers
        self.reader = self.env.begin(buffers=buffers)

    def renew(self) -> None:
        """See what was written until now."""
        self.reader.abort()
        self.reader = self.env.begin(buffers=self.buffers)

    def close(self) -> None:
        self.reader.abort()
        self.env.close()


class FilePerKey:
    """What people write first: one pickle file a key."""

    def __init__(self, path: Path) -> None:
        self._folder = f"{path}/"

    def get(self, k: str) -> Any:
        with open(self._folder + k, "rb") as file:
            return pickle.load(file)  # noqa: S301 - the benchmark's own files

    def put(self, k: str, v: Any) -> None:
        with open(self._folder + k, "wb") as file:
            pickle.dump(v, file, pickle.HIGHEST_PROTOCOL)

    def delete(self, k: str) -> None:
        os.unlink(self._folder + k)

    def contains(self, k: str) -> bool:
        return os.path.exists(self._folder + k)

    def close(self) -> None:
        """Every file was closed by its own call."""


def _lmdb_peer(name: str, make: Callable[[Path], Any], **fields: Any) -> Peer:
    return Peer(
        name=name,
        make=make,
        needs="lmdb",
        item=None,
        put="t.put(k, {v})",
        delete="t.delete(k)",
        writing="with begin(write=True) as t:",
        filling="with begin(write=True) as t:",
        key=str.encode,
        any_value=False,
        **fields,
    )


def _lmdb_reader(name: str, *, buffers: bool) -> Peer:
    return _lmdb_peer(
        name,
        functools.partial(_LmdbReader, buffers=buffers),
        names=lambda c: {
            "begin": c.env.begin,
            "get": c.reader.get,
            "find": c.reader.cursor().set_key,
        },
        contains="find(k)",
        loaded=_LmdbReader.renew,
        view="get(k)" if buffers else None,
    )


def _lmdb_per_operation(name: str, **options: Any) -> Peer:
    return _lmdb_peer(
        name,
        functools.partial(_lmdb, **options),
        names=lambda c: {"begin": c.begin},
        get="t.get(k)",
        contains="t.cursor().set_key(k)",  # copies no value
        reading="with begin() as t:",
    )


LMDB: Final = _lmdb_per_operation("lmdb")
LMDB_READER: Final = _lmdb_reader("lmdb, open reader", buffers=False)
LMDB_BUFFERS: Final = _lmdb_reader("lmdb, open reader, buffers", buffers=True)
LMDB_SYNC: Final = _lmdb_per_operation(
    "lmdb sync", sync=True, metasync=True, writemap=False, map_async=False
)


def _diskcache(path: Path, **options: Any) -> Any:
    unbounded = {"size_limit": 1 << 40, "eviction_policy": "none"}
    return _from("diskcache", "Cache")(os.fspath(path), **{**unbounded, **options})


def diskcache_peer(name: str, **options: Any) -> Peer:
    """diskcache with the given settings."""
    return Peer(
        name=name,
        make=functools.partial(_diskcache, **options),
        needs="diskcache",
        names=lambda c: {"get": c.get, "put": c.set, "delete": c.delete, "transact": c.transact},
        put="put(k, {v})",
        delete="delete(k)",
        filling="with transact():",
        slow=True,
    )


DISKCACHE: Final = diskcache_peer("diskcache")
DISKCACHE_SYNC: Final = diskcache_peer("diskcache sync", sqlite_synchronous=2)  # FULL
FILES: Final = Peer(
    name="file per key",
    make=FilePerKey,
    names=lambda c: {"get": c.get, "put": c.put, "delete": c.delete, "contains": c.contains},
    item=None,
    put="put(k, {v})",
    contains="contains(k)",
    delete="delete(k)",
    slow=True,
)


def _segment_store(path: Path, **options: Any) -> Any:
    return ours("SegmentStore")(path, **{"budget_bytes": STORE_BYTES, **options})


def segment_store_peer(name: str, **options: Any) -> Peer:
    """fastmem's SegmentStore with the given keywords."""
    return Peer(
        name=name,
        make=functools.partial(_segment_store, **options),
        needs="fastmem:SegmentStore",
        names=lambda c: {"get": c.get, "put": c.put, "delete": c.delete, "get_view": c.get_view},
        put="put(k, {v})",
        delete="delete(k)",
        view="get_view(k)",
    )


STORE_OURS: Final = segment_store_peer("fastmem")
STORE_OURS_SYNC: Final = segment_store_peer("fastmem", durability="disk")
STORE_PEERS: Final = (LMDB, LMDB_READER, LMDB_BUFFERS, DISKCACHE, FILES)


def _tiered(path: Path, **options: Any) -> Any:
    return ours("TieredMemorySystem")(
        l2_path=path / "l2", l3_path=path / "l3", **{"l1_size_mb": 512, **options}
    )


def tiered_peer(name: str, **options: Any) -> Peer:
    """fastmem's TieredMemorySystem with the given keywords."""
    return Peer(
        name=name,
        make=functools.partial(_tiered, **options),
        needs="fastmem:TieredMemorySystem",
        names=lambda c: {"get": c.get, "put": c.put, "delete": c.delete},
        put="put(k, {v})",
        delete="delete(k)",
    )


TIERED: Final = tiered_peer("fastmem")
ALL: Final = (L1_OURS, DICT, *L1_PEERS, *TTL_PEERS, STORE_OURS, *STORE_PEERS, LMDB_SYNC, TIERED)
