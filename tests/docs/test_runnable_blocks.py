"""Blocks that say ```sh runnable run on the built-in data: those of a page one after the other, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import REPOSITORY, blocks, pages


def scripts() -> dict[str, str]:
    """Return the runnable blocks of every page that has some, as one script."""
    found = {page: blocks(page.read_text(encoding="utf-8")) for page in pages()}
    runnable = {page: "".join(block.code for block in each if block.is_runnable) for page, each in found.items()}
    return {page.relative_to(REPOSITORY).as_posix(): script for page, script in runnable.items() if script}


SCRIPTS = scripts()
SECONDS = 900


def test_pages_have_blocks_that_run() -> None:
    assert {"docs/quickstart.md", "docs/tuning.md", "docs/recommending.md"} <= set(SCRIPTS)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("page", SCRIPTS)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = f"set -euo pipefail\n{SCRIPTS[page]}"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
