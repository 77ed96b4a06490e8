"""A part as a process that is killed at its limit, and what it left as a result either way."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAST_WORDS = 400  # characters of what a part that failed wrote last
LEAST_SECONDS = 5.0
"""A part that has less left is not started: importing torch alone takes as long."""


def run_part(command: Sequence[str], result: Path, *, limit: float) -> dict[str, Any]:
    """Run a command in a process group of its own, killed whole after `limit` seconds; return what it wrote to
    `result`, or what became of it."""
    if limit < LEAST_SECONDS:
        return {"status": "not started", "reason": "the time for all parts was used up"}
    result.unlink(missing_ok=True)
    started = time.monotonic()
    log = result.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill(child)
            return {"status": "timed out", "reason": f"killed after {limit:.0f} s", "seconds": limit}
        except BaseException:  # an interruption ends the part as well
            _kill(child)
            raise
    seconds = time.monotonic() - started
    if child.returncode == 0 and result.exists():
        return {"status": "success", "seconds": seconds, **json.loads(result.read_text(encoding="utf-8"))}
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-LAST_WORDS:]
    return {"status": "failed", "reason": said.splitlines()[-1] if said else "no output", "seconds": seconds}


def _kill(child: "subprocess.Popen[bytes]") -> None:
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
