"""What a stretch of training runs with: versions, commit, devices, threads."""

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from peftrec import __version__
from peftrec.code.fingerprint import Fingerprint
from peftrec.devices import device_name, thread_conditions
from peftrec.processes import ProcessRank
from peftrec.results.record import Stretch

_PACKAGES = ("torch", "lightning", "transformers", "peft", "hydra-core", "numpy")


def this_stretch(
    code: Fingerprint, device: torch.device, processes: ProcessRank, *, costs: Mapping[str, Any], reuse: str
) -> Stretch:
    """Describe what the run is trained with from now on; `costs` are its keys whose role is cost."""
    changes = _git("status", "--porcelain")
    return Stretch(
        first_epoch=0,
        started_at=datetime.now(UTC).isoformat(),
        modules=dict(code.modules),
        packages=dict(code.versions),
        reuse=reuse,
        versions={
            "peftrec": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=None if changes is None else bool(changes),
        device=device_name(device),
        num_devices=processes.count,
        num_nodes=processes.num_nodes,
        conditions={**costs, **thread_conditions()},
    )


def _git(*arguments: str) -> str | None:
    """Ask git about the source tree; null where the package is not in one, or git is missing."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
