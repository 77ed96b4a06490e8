"""The commands of the page about serving, in its order: services start, stay, and answer what follows."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import REPOSITORY, Block, blocks

from peftrec.processes import TERMINATED

PAGE = REPOSITORY / "docs" / "serving.md"
SECONDS = 900
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
SERVE = "peftrec serve "


def shell_blocks() -> list[Block]:
    return [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "sh"]


def test_the_page_serves_before_it_asks() -> None:
    kinds = ["serve" if SERVE in block.code else "ask" if "curl" in block.code else "run" for block in shell_blocks()]
    assert kinds == ["run", "run", "serve", "serve", "ask", "ask", "serve"]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page asks by curl")
def test_its_commands_run_in_its_order(tmp_path: Path) -> None:
    ports: list[int] = []
    with ExitStack() as services:
        for block in shell_blocks():
            lines = [line for line in block.commands() if not line.startswith("pip install")]
            served = [line for line in lines if line.startswith(SERVE)]
            if served:
                bash("\n".join(line for line in lines if line not in served), tmp_path)
                ports += [services.enter_context(service(line, tmp_path)) for line in served]
                continue
            code = block.code.replace("localhost:8000", f"localhost:{ports[0]}") if ports else block.code
            said = bash(code, tmp_path)
            if "curl" in code:
                answers = list(values(said))
                assert len(answers) == code.count("curl ")
                assert not [answer for answer in answers if "error" in answer]
    assert (tmp_path / "lamp.jpg").exists()


def bash(script: str, folder: Path) -> str:
    ended = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@contextmanager
def service(line: str, folder: Path) -> Iterator[int]:
    """Run a service behind what follows, at a free port, which it says."""
    command = f"exec {line}" if "port=" in line else f"exec {line} port=0"
    with subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as own:
        try:
            assert own.stdout is not None
            ready = re.fullmatch(r"ready: http://127\.0\.0\.1:(\d+)\n", own.stdout.readline())
            assert ready is not None
            yield int(ready[1])
        finally:
            own.send_signal(signal.SIGTERM)
        assert own.wait() == TERMINATED


def values(text: str) -> Iterator[Any]:
    """Yield the values of JSON that stand one after the other."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:]
