"""A pre-forking server whose workers inherit an open memory: 8 workers, some of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash.directories import open_tiers
from tests.house.tree import ROOT

OPTIONS = ["--preload", "--bind=127.0.0.1:0", "--workers=8", "--no-control-socket"]


def ask(address: str, path: str) -> tuple[int, str]:
    """(pid of the worker, what it said); a worker that was killed meanwhile is asked again."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
                pid, said = answer.read().decode().split()
                return int(pid), said
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError(f"no answer from {address}")


def test_workers_share_what_was_opened_before_they_were_forked(
    private_tmp: Path, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with said.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *OPTIONS, "tests.processes.prefork_app:app"],
            cwd=ROOT,
            env={**os.environ, "FASTMEM_AT": str(private_tmp)},
            stderr=log,
        )
    try:
        until = time.monotonic() + 60
        while "Listening at: http://" not in said.read_text() and time.monotonic() < until:
            assert server.poll() is None, said.read_text()
            time.sleep(0.02)
        address = said.read_text().split("Listening at: http://")[1].split()[0]
        put: dict[str, str] = {}
        workers: set[int] = set()

        def exercise(number: int) -> tuple[str, int]:
            return f"key{number}", ask(address, f"/put/key{number}")[0]

        with ThreadPoolExecutor(16) as pool:
            for turn in range(3):
                for key, pid in pool.map(exercise, range(turn * 100, turn * 100 + 100)):
                    put[key] = str(pid)
                    workers.add(pid)
                os.kill(pid, signal.SIGKILL)
            found = dict(pool.map(lambda key: (key, ask(address, f"/get/{key}")[1]), put))
        assert found == put
        assert ask(address, "/get/opened%20by")[1] == str(server.pid)
        assert len(workers) > 2  # those that were killed among them
    finally:
        server.terminate()
        server.wait(30)
    with open_tiers(private_tmp) as memory:
        assert {key: str(memory[key]) for key in put} == put
        memory.check()
