"""Offline runs of W&B, read back by W&B's own reader (`wandb leet inspect`, without the start of Python in between)."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.util import get_core_path

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class OfflineRun:
    """What the file of a run holds."""

    overview: dict[str, Any]
    """State, configuration, summary."""
    records: list[dict[str, Any]]
    """All that was written, in order."""

    @property
    def begun(self) -> dict[str, Any]:
        """What the run was begun with: group, job type, ..."""
        return next(each["run"] for each in self.records if each["type"] == "run")

    @property
    def history(self) -> list[dict[str, Any]]:
        return [each["history"]["item"] for each in self.records if each["type"] == "history"]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [each[kind] for each in self.records if each["type"] == kind]


def offline_files(folder: Path) -> list[Path]:
    """Return the files of all offline runs below a folder."""
    return sorted(folder.rglob("run-*.wandb"))


def read_offline(file: Path) -> OfflineRun:
    """Read the file of a run that has ended; W&B's own process may still be writing it when `finish` returns."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        records = [json.loads(line) for line in _inspect(file, "--json").splitlines()]
        if any(each["type"] == "exit" for each in records) or time.monotonic() > until:
            return OfflineRun(json.loads(_inspect(file, "--summary", "--json")), records)
        time.sleep(0.05)


def _inspect(file: Path, *options: str) -> str:
    command = [get_core_path(), "leet", "inspect", "--no-observability", *options, "--run-file", str(file)]
    return subprocess.run([*command, str(file.parent.parent)], check=True, capture_output=True, text=True).stdout
