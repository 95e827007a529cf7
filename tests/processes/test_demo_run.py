"""``fastmem demo`` as a user runs it, and interrupted."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "fastmem", "demo"]


def children_of(pid: int) -> list[int]:
    """Pids whose parent is *pid*, by /proc."""
    with open(f"/proc/{pid}/task/{pid}/children") as listing:
        return [int(child) for child in listing.read().split()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary directories go below a directory that the test can look into."""
    place = tmp_path / "temporary"
    place.mkdir()
    return {**os.environ, "TMPDIR": str(place)}


def demonstrated(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """A demonstration that went well."""
    ran = subprocess.run(
        [*DEMO, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


def test_it_survives_its_kill_and_leaves_only_the_report(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    ran = demonstrated(environment, "--seconds", "9", "--report", str(tmp_path / "out.html"))
    assert ran.stderr == ""
    told = re.search(r"([\d,]+) acknowledged, ([\d,]+) recovered, 0 lost", ran.stdout)
    assert told, ran.stdout
    assert told[1] == told[2] != "0"
    assert "wrong values         0 in" in ran.stdout
    assert "were readable and equal after reopening" in ran.stdout
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert os.listdir(environment["TMPDIR"]) == []


def test_a_kept_directory_can_be_used_again_and_looked_into(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = [
        "--seconds",
        "5",
        "--dir",
        str(tmp_path / "kept"),
        "--report",
        str(tmp_path / "r.html"),
    ]
    for _ in range(2):
        demonstrated(environment, *arguments)
    looked = subprocess.run(
        [sys.executable, "-m", "fastmem", "stats", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert looked.returncode == 0, looked.stderr
    assert "entries" in looked.stdout


def test_an_interrupt_ends_the_child_too(tmp_path: Path, environment: dict[str, str]) -> None:
    # A shell that puts the tests in the background has them, and so the demo, ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    demo = subprocess.Popen(
        [*DEMO, "--seconds", "60", "--report", str(tmp_path / "r.html")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        for line in demo.stdout:
            if line.startswith("cold, in a child"):
                break
        (child,) = children_of(demo.pid)
        demo.send_signal(signal.SIGINT)
        _, complaint = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == 130
    assert complaint == "fastmem: interrupted\n"
    assert not os.path.exists(f"/proc/{child}")
    assert os.listdir(environment["TMPDIR"]) == []
    assert not (tmp_path / "r.html").exists()
