"""Files that are cut under a reader or a writer give misses and errors, and no death."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faulting import BUDGET, HANDLERS, run

FILL = """
kept = {f"k{i}": os.urandom(1000) for i in range(3000)}
for key, value in kept.items():
    store.put(key, value)
assert all(store.get(key) == value for key, value in kept.items())
"""
READ = """
before = store.stats()
found = {key: store.get(key) for key in kept}
assert all(value in (None, kept[key]) for key, value in found.items())
lost = [key for key, value in found.items() if value is None]
after = store.stats()
assert lost and after["misses"] - before["misses"] == len(lost)
assert after["faults"] >= len(lost)
"""


@pytest.mark.parametrize("handlers", HANDLERS)
def test_a_cut_segment_is_missed_by_a_reader(private_tmp: Path, handlers: str) -> None:
    program = """
cut("seg.0", 8192)
""" + READ + """
assert 900 < len(lost) < 1100
assert after["errors"]["corrupt"] == len(lost)
at_edge = set(store) - (set(kept) - set(lost))  # its head lies before the cut
assert len(at_edge) <= 1 and set(store) | set(lost) == set(kept)
try:
    store.verify()
    raise AssertionError("verified")
except CorruptRecordError as error:
    assert error.filename.endswith("seg.0")
errors = []
assert store.verify(on_corrupt=errors.append) == 3000 and len(errors) == len(lost)
assert {key for key in lost if key in store} == at_edge
"""  # fmt: skip
    done = run(private_tmp, FILL + program, handlers)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("handlers", ["none", "faulthandler before", "signal after"])
@pytest.mark.parametrize(("name", "length"), [("index", 4096), ("index", 8192), ("overflow", 0)])
def test_a_cut_index_is_missed_by_a_reader(
    private_tmp: Path, name: str, length: int, handlers: str
) -> None:
    program = f"""
cut({name!r}, {length})
{READ}
assert len(list(store)) == len(kept) - len(lost)
errors = []
store.verify(on_corrupt=errors.append)
assert errors and all(error.filename.endswith("index") for error in errors)
raises(lambda: [store.put(f"new{{i}}", 0) for i in range(10000)])
store.close()
{"store = SegmentStore(place, budget_bytes=16 << 20)"}
assert all(store.get(key) == value for key, value in kept.items())
store.check()
"""
    done = run(private_tmp, FILL + program, handlers)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", ["index", "super"])
def test_without_the_first_page_every_call_raises_or_misses(private_tmp: Path, name: str) -> None:
    program = f"""
cut({name!r})
for key in kept:
    assert store.get(key) in (None, kept[key])
for call in (lambda: store.put("k5", 1), lambda: store.delete("k5"), store.check, store.stats):
    raises(call)
store.close()
{"store = SegmentStore(place, budget_bytes=16 << 20)"}
assert all(store.get(key) == value for key, value in kept.items())
store.check()
"""
    done = run(private_tmp, FILL + program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("handlers", HANDLERS)
def test_an_append_to_a_cut_segment_changes_nothing(private_tmp: Path, handlers: str) -> None:
    program = """
entries, tail = len(store), store._engine.files.super.get("tail")
cut(f"seg.{tail // 65536}", 8192)
error = raises(store.put, "new", bytes(1000))
assert "nothing has changed" in str(error) and error.filename == place
raises(store.put, "k0", bytes(1000))
raises(store.delete, "k0")
assert len(store) == entries and "new" not in store and store.get("k0") == kept["k0"]
assert store._engine.files.super.get("lock") == 0
assert store._engine.files.super.get("tail") == tail
store.close()
store = SegmentStore(place, budget_bytes=16 << 20)
store.put("new", 1)
assert store.get("new") == 1 and store.get("k0") == kept["k0"]
"""
    done = run(private_tmp, FILL + program, handlers)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_change_that_could_be_seen_poisons_the_store(private_tmp: Path) -> None:
    program = """
log = store._engine.log
count = 0
while log.buckets[0] < 1100:  # a doubling has begun: a put splits some buckets too
    store.put(f"k{count}", 0)
    count += 1
cut("index", 4096 + 64 * 1024)
error = raises(lambda: [store.put(f"more{i}", 0) for i in range(100)])
while "nothing has changed" in str(error):  # that one's bucket was gone before it split any
    error = raises(lambda: [store.put(f"still{i}", 0) for i in range(100)])
assert "reopen" in str(error)
for call in (lambda: store.get("k0"), lambda: store.put("k0", 1), lambda: len(store), store.stats,
             lambda: "k0" in store, lambda: list(store), store.check, store.verify):
    assert "reopen" in str(raises(call))
store.close()
store = SegmentStore(place, budget_bytes=16 << 20)
assert all(store.get(f"k{i}") == 0 for i in range(count))
store.check()
"""
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", ["seg.0", "index"])
def test_reclaim_passes_dead_records_up_to_the_missing_page(private_tmp: Path, name: str) -> None:
    program = f"""
from fastmem._core.keys import encode_key
from fastmem._core.layout import HEADER_UNITS, UNIT_BYTES
from fastmem._core.passing import KeyFilter, pass_dead
from fastmem._core.settling import Credit, settle_plain
log = store._engine.log
for i in range(500):
    store.put("one", os.urandom(1000))
end = log.seek(encode_key("one")) & (1 << 30) - 1
assert pass_dead(log, HEADER_UNITS, end, KeyFilter(log)) == end
cut({name!r}, 4096)
after = pass_dead(log, HEADER_UNITS, end, KeyFilter(log))
assert HEADER_UNITS <= after <= 5200 // UNIT_BYTES and store.stats()["faults"]
before = log.faults
settled = settle_plain(log, HEADER_UNITS, end, Credit(0), KeyFilter(log), [])
assert settled == (after, 0) and log.faults > before
"""
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_cut_value_file_is_a_miss(private_tmp: Path) -> None:
    program = """
store.put("large", bytes(300_000))
(name,) = [name for name in os.listdir(place) if name.startswith("val.")]
cut(name, 5000)
assert store.get("large") is None and store.stats()["errors"]["corrupt"] == 1
"""
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_threads_read_and_write_while_files_are_cut(private_tmp: Path) -> None:
    program = """
stop, wrong = threading.Event(), []
def read():
    while not stop.is_set():
        for key, value in kept.items():
            if store.get(key) not in (None, value):
                wrong.append(key)
def write():
    while not stop.is_set():
        for i in range(100):
            try:
                store.put(f"own{i}", i)
            except StoreError:
                pass
threads = [threading.Thread(target=call) for call in (read, read, write)]
for thread in threads:
    thread.start()
for turn in range(60):
    for number in range(3):
        cut(f"seg.{number}", 4096 * (turn % 7))
        cut(f"seg.{number}", 1 << 20)
    cut("index", 4096 * (1 + turn % 3))
    cut("index", 4096 + 64 * 4096)
stop.set()
for thread in threads:
    thread.join()
assert not wrong and store._engine.log.faults
"""
    done = run(private_tmp, FILL + program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_forked_child_and_its_parent(private_tmp: Path) -> None:
    program = """
child = os.fork()
if child == 0:
    with SegmentStore(place + "/of-child", budget_bytes=16 << 20) as own:
        own.put("k", bytes(5000))
        place += "/of-child"
        cut("seg.0", 0)
        os._exit(17 if own.get("k") is None else 18)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
cut("seg.0", 8192)
assert any(store.get(key) is None for key in kept)
"""
    done = run(private_tmp, FILL + program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_thread_with_an_alternate_stack(private_tmp: Path) -> None:
    program = """
class Stack(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
def read():
    room = ctypes.create_string_buffer(1 << 16)
    stack, now = Stack(ctypes.addressof(room), 0, len(room)), Stack()
    assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
    missed.append(sum(store.get(key) is None for key in kept))
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now))
    assert now.flags == 0  # whoever has jumped off it is not on it
    stack.flags = 2
    ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None)
missed = []
cut("seg.0", 8192)
thread = threading.Thread(target=read)
thread.start()
thread.join()
assert missed and missed[0] > 900
"""
    done = run(private_tmp, FILL + program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", ["seg.0", "index", "super"])
def test_views_and_arrays_that_were_verified_before_the_cut(private_tmp: Path, name: str) -> None:
    program = f"""
import numpy, pickle
class Holder:
    def __init__(self, array):
        self.array = array
store.put("raw", os.urandom(60_000))
store.put("array", numpy.arange(8000))
store.put("small", numpy.arange(10))
store.put("holder", Holder(numpy.arange(8000)))
store.put("array.array", bytearray(50_000))
def look():
    found = [store.get_view(key) for key in ("raw", "array", "array.array")]
    return found + [store.get(key) for key in ("array", "small", "holder")]
assert not any(one is None for one in look())
for length in (65536 * 3, 65536, 8192, 0):
    cut({name!r}, length)
    try:
        last = look()
    except (StoreError, SerializationError):
        pass
if {name!r} == "seg.0":
    assert all(one is None for one in last)
    assert store.stats()["faults"] >= len(last)
"""
    done = run(private_tmp, FILL.replace("3000", "10") + program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("keyed", [False, True])
def test_a_view_of_a_value_file_that_was_cut(private_tmp: Path, keyed: bool) -> None:
    program = """
import numpy
class Holder:
    def __init__(self, array):
        self.array = array
store.put("raw", bytes(500_000))
store.put("array", numpy.arange(80_000))
store.put("holder", Holder(numpy.arange(80_000)))
def look():
    found = [store.get_view("raw"), store.get_view("array"), store.get("array")]
    return found + [store.get("holder")]
if first:
    assert not any(one is None for one in look())
for length in (300_000, 0):
    for name in [name for name in os.listdir(place) if name.startswith("val.")]:
        cut(name, length)
    try:
        look()
    except SerializationError:
        pass
"""
    if keyed:
        opened = (
            f"store.close()\nstore = SegmentStore(place, budget_bytes={BUDGET}, secret_key=K)\n"
        )
        program = f"import shutil\nK = bytes(range(32))\nplace += '/keyed'\n{opened}{program}"
    for first in (True, False):
        done = run(private_tmp / str(first), f"first = {first}\n{program}")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_hits_of_a_memory_whose_files_are_cut(private_tmp: Path) -> None:
    program = """
from fastmem import TieredMemorySystem
def fill(memory):
    for i in range(200):
        memory.put(f"k{i}", i)
    memory._engine.files.super.set("joined", 1)  # as if others had it open
    for i in range(200):
        memory.put(f"k{i}", i)
        assert memory.get(f"k{i}") == i
store.close()
for turn, (name, length) in enumerate([("index", 4096), ("index", 0), ("super", 0), ("procs", 0)]):
    for coherent in (False, True):
        place = f"{sys.argv[1]}/{turn}{coherent}"
        memory = TieredMemorySystem(8, f"{place}/l2", f"{place}/l3", l2_size_mb=16,
                                    l3_size_mb=16, coherent=coherent)
        fill(memory)
        cut(f"l2/{name}", length)
        for call in (memory.get, memory.peek, memory.__contains__, memory.delete, memory.touch):
            for i in range(200):
                try:
                    assert call(f"k{i}") in (None, i, True, False)
                except StoreError:
                    pass
        for i in range(200):
            try:
                memory.put(f"k{i}", i)
            except StoreError:
                pass
        memory.get_many([f"k{i}" for i in range(200)])
        memory.close()
"""
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
