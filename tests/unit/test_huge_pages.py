"""Full parts of a large cache come to lie in huge pages, and nobody notices but by the clock."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="huge pages are Linux's here")

BEGIN = """
import ctypes, errno, mmap, os, signal, struct, sys, threading
from fastmem._core.l1 import L1Cache
from fastmem._core.pages import settle

HUGE = 1 << 21
EXTENT = HUGE // 64  # entries

def figure(name, path="/proc/self/smaps"):
    with open(path) as lines:
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))

def gives_huge_pages():
    room = mmap.mmap(-1, 2 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room.madvise(mmap.MADV_HUGEPAGE)
    room.write(bytes(2 * HUGE))
    return figure("AnonHugePages") > 0 and room.madvise(COLLAPSE) is None

def filled(entries, first=0):
    cache = L1Cache(1 << 40)
    for i in range(first, first + entries):
        cache[i] = 7
    return cache

def holds(cache, entries, first=0):
    cache._check()
    assert len(cache) == entries
    assert all(cache.peek(i) == 7 for i in range(first, first + entries))

def threads():
    return len(os.listdir("/proc/self/task"))

def refuse(error, *calls, advice=None):
    "This process gets `error` for system calls of these numbers; for madvise only with `advice`."
    libc = ctypes.CDLL(None, use_errno=True)
    steps = [(0x20, 0, 0, 0)]
    for call in calls:
        if advice is None:
            steps += [(0x15, 0, 1, call)]
        else:
            steps += [(0x15, 0, 3, call), (0x20, 0, 0, 32), (0x15, 0, 1, advice)]
        steps += [(0x06, 0, 0, 0x00050000 | error)]
    steps += [(0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    if libc.prctl(22, 2, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)), 0, 0):
        print("no filters of system calls here")
        sys.exit()

MADVISE, CLONE = {"x86_64": (28, 56), "aarch64": (233, 220)}[os.uname().machine]
CLONE3, COLLAPSE = 435, 25
"""


def told_by(script: str) -> str:
    """What a process of its own says, after what every one of them needs."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGIN + script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("no "):
        pytest.skip(done.stdout)
    return done.stdout


def test_what_is_full_is_joined_and_nothing_else() -> None:
    told_by("""
if not gives_huge_pages():
    print("no huge pages here")
    sys.exit()
before = figure("AnonHugePages")
cache = filled(5 * EXTENT + EXTENT // 2)
settle()
slots = (cache._arena_bytes() - len(cache) * 64) // HUGE
joined = (figure("AnonHugePages") - before) // HUGE
assert 5 <= joined <= 5 + slots, (joined, slots)
holds(cache, 5 * EXTENT + EXTENT // 2)
""")


def test_joining_takes_no_memory() -> None:
    """Only pages that were all in use are joined: a cache is no larger for it."""
    told_by("""
entries = 6 * EXTENT
cache = filled(entries)
settle()
cache.clear()
before = figure("Rss")
cache = filled(entries)
settle()
grown = figure("Rss") - before
assert grown < cache._arena_bytes() + entries * 40 + HUGE, (grown, cache._arena_bytes())
""")


def test_small_caches_start_no_thread_and_get_no_huge_page() -> None:
    told_by("""
before = figure("AnonHugePages")
cache = filled(EXTENT - 8)
assert threads() == 1
settle()
assert figure("AnonHugePages") == before
""")


def test_memory_that_was_given_back_is_not_joined_for_its_next_owner() -> None:
    """What comes to lie where a cache was has its pages as it likes them."""
    told_by("""
keys = list(range(EXTENT))
for round in range(5):
    caches = [L1Cache(1 << 40) for _ in range(32)]
    for cache in caches:
        for key in keys[:-1]:
            cache[key] = 7
    for cache in caches:  # more huge pages wait than can be joined meanwhile
        cache[keys[-1]] = 7
    del cache, caches
    after = [mmap.mmap(-1, HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(64)]
    for room in after:
        room[0] = 1
    settle()
    assert figure("AnonHugePages") == 0, round
    del after, room
""")


def test_arenas_move_while_they_are_joined() -> None:
    told_by("""
caches = [filled(0) for _ in range(4)]
for i in range(4 * EXTENT):
    for cache in caches:
        cache[i] = 7
for cache in caches:
    holds(cache, 4 * EXTENT)
settle()
for cache in caches:
    holds(cache, 4 * EXTENT)
    cache.clear()
    cache._check()
""")


def test_threads_that_fill_and_drop_caches_together() -> None:
    told_by("""
def work(first):
    for round in range(4):
        cache = filled(2 * EXTENT, first + round)
        holds(cache, 2 * EXTENT, first + round)
        cache.clear()

workers = [threading.Thread(target=work, args=(n << 32,)) for n in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
settle()
""")


def test_forks_in_the_middle_of_joining() -> None:
    """The child has the cache as it was, can fill others, and was alone (warnings are errors)."""
    told_by("""
cache = filled(0)
children = []
for i in range(6 * EXTENT):
    cache[i] = 7
    if i % EXTENT == EXTENT - 1:  # entry i + 1: a huge page has just begun to wait
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            assert threads() == 1
            holds(cache, i + 1)
            own = filled(2 * EXTENT)
            settle()
            holds(own, 2 * EXTENT)
            cache.clear()
            os._exit(0)
        children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(children) == 6
settle()
holds(cache, 6 * EXTENT)
""")


def test_the_end_of_the_interpreter_waits_for_nothing() -> None:
    told_by("""
cache = filled(4 * EXTENT)
""")


def test_a_process_without_huge_pages_is_left_without() -> None:
    """PR_SET_THP_DISABLE, as "never" for a whole system."""
    told_by("""
assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0
cache = filled(3 * EXTENT)
settle()
assert figure("AnonHugePages") == 0
holds(cache, 3 * EXTENT)
""")


def test_a_kernel_that_cannot_join_is_asked_once() -> None:
    told_by("""
refuse(errno.EINVAL, MADVISE, advice=COLLAPSE)
cache = filled(2 * EXTENT)
settle()
assert figure("AnonHugePages") == 0
for i in range(2 * EXTENT, 4 * EXTENT):
    cache[i] = 7
    assert threads() == 1
holds(cache, 4 * EXTENT)
""")


def test_a_process_that_may_have_no_more_threads() -> None:
    told_by("""
refuse(errno.EAGAIN, CLONE, CLONE3)
cache = filled(3 * EXTENT)
assert threads() == 1
settle()
assert figure("AnonHugePages") == 0
holds(cache, 3 * EXTENT)
""")
