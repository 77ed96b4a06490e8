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
from peftrec.devices import device_name
from peftrec.processes import ProcessRank
from peftrec.results.record import Stretch
from peftrec.settings.run import Settings
from peftrec.training.run.conditions import conditions_of, roles_of_conditions

_PACKAGES = ("torch", "lightning", "transformers", "peft", "hydra-core", "numpy")


def this_stretch(
    settings: Settings, code: Fingerprint, device: torch.device, processes: ProcessRank, *, costs: Mapping[str, Any]
) -> Stretch:
    """Describe what the run is trained with from now on; `costs` are its keys whose role is cost."""
    conditions = conditions_of(settings, costs, device)
    commit, has_changes = source_state(Path(__file__))
    return Stretch(
        first_epoch=0,
        started_at=datetime.now(UTC).isoformat(),
        started_in=str(Path.cwd()),
        modules=dict(code.modules),
        packages=dict(code.versions),
        reuse=settings.reuse,
        versions={
            "peftrec": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        git_commit=commit,
        git_dirty=has_changes,
        device=device_name(device),
        num_devices=processes.count,
        num_nodes=processes.num_nodes,
        conditions=conditions,
        condition_roles=roles_of_conditions(conditions, costs),
    )


def source_state(file: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the repository that a source file belongs to, and whether that has changes.

    Both are null where no repository tracks the file: an installation may lie in the folder of somebody's own.
    """
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None, None
    changes = _git(file, "status", "--porcelain")
    return _git(file, "rev-parse", "HEAD"), None if changes is None else bool(changes)


def _git(file: Path, *arguments: str) -> str | None:
    """Ask git about a file's folder; null where git is missing or has no answer."""
    command = ["git", "-C", str(file.parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
