"""What the README shows happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.readme import Block, blocks, command
from tests.house.readme_run import run
from tests.house.tree import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)


@pytest.fixture(scope="module")
def reader_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole README: a later block may use what an earlier one made."""
    return tmp_path_factory.mktemp("reader")


def test_readme_tells_how_to_install_and_how_to_test() -> None:
    assert command(TEXT, "install") == "pip install -e '.[test]'"
    assert command(TEXT, "test") == "python -m pytest"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.language}-line{block.line}")
def test_readme_block(block: Block, reader_dir: Path) -> None:
    run(block, reader_dir)


def test_readme_stays_a_page() -> None:
    assert len(TEXT.splitlines()) < 150
