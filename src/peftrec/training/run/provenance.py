"""What a stretch of training runs with: versions, commit, devices, threads."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from peftrec import __version__
from peftrec.code.commit import package_state
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
    commit, has_changes = package_state()
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
