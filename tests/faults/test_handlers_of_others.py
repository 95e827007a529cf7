"""A SIGBUS that is not ours goes where it went without us."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faulting import HANDLERS, run

OWN = """
for i in range(100):
    store.put(f"k{i}", bytes(1000))
cut("seg.0", 4096)
assert store.get("k99") is None
"""
DUMPED = "Fatal Python error: Bus error"


@pytest.mark.parametrize("handlers", [name for name in HANDLERS if not name.startswith("signal")])
@pytest.mark.parametrize("own", ["", OWN])
def test_a_fault_of_others(private_tmp: Path, own: str, handlers: str) -> None:
    # One of ours before it makes no difference.
    done = run(private_tmp, own + "of_others()", handlers)
    if handlers.startswith("C"):
        assert done.returncode == 42
    else:
        assert done.returncode == -signal.SIGBUS
    dumped = "faulthandler" in handlers or "told" in handlers
    seen_already = own and handlers == "faulthandler after"  # it tells once, of what it sees first
    assert (DUMPED in done.stderr) == dumped or seen_already


@pytest.mark.parametrize("handlers", ["none", "faulthandler before", "faulthandler after"])
def test_a_signal_that_is_sent_ends_the_process(private_tmp: Path, handlers: str) -> None:
    done = run(private_tmp, "os.kill(os.getpid(), 7); print('alive')", handlers)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")
    assert (DUMPED in done.stderr) == (handlers != "none")


@pytest.mark.parametrize("handlers", ["signal before", "signal after"])
def test_a_signal_that_is_sent_reaches_its_handler(private_tmp: Path, handlers: str) -> None:
    done = run(private_tmp, "os.kill(os.getpid(), 7); sys.exit(3)", handlers)
    assert done.returncode == 3
    assert done.stdout.startswith("7 ")


def test_signals_that_come_in_the_middle_of_reads_are_delivered(private_tmp: Path) -> None:
    program = """
import signal
seen = []
signal.signal(signal.SIGBUS, lambda *_: seen.append(1))
store.put("k", bytes(200_000))
look_often()
reader, sent = threading.main_thread().ident, []
def send():
    for _ in range(200):
        before = len(seen)
        signal.pthread_kill(reader, signal.SIGBUS)
        sent.append(1)
        while len(seen) == before:
            pass
thread = threading.Thread(target=send)
thread.start()
while thread.is_alive():
    assert store.get("k") == bytes(200_000)
thread.join()
assert len(seen) == len(sent) == 200
"""
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_an_ignored_signal_stays_ignored(private_tmp: Path) -> None:
    program = """
import signal
signal.signal(signal.SIGBUS, signal.SIG_IGN)
look_often()
os.kill(os.getpid(), 7)
""" + OWN + """
print("alive", flush=True)
of_others()
"""  # fmt: skip
    done = run(private_tmp, program)
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "alive\n"), done.stderr


def test_faulthandler_switched_on_and_off(private_tmp: Path) -> None:
    program = """
import faulthandler
for _ in range(20):
    faulthandler.enable()
    look_often()
    faulthandler.disable()
    look_often()
""" + OWN + """
of_others()
"""  # fmt: skip
    done = run(private_tmp, program)
    assert done.returncode == -signal.SIGBUS
    assert DUMPED not in done.stderr
