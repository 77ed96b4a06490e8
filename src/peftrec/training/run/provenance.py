"""What decides a run's result, as hashes, and where it came from."""

import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from peftrec import __version__
from peftrec.data.fingerprint import content_hashes, data_hash
from peftrec.data.split import Split
from peftrec.devices import device_name
from peftrec.processes import Processes
from peftrec.results.record import Provenance
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import decisive_config

_PACKAGES = ("torch", "lightning", "transformers", "peft", "hydra-core", "numpy")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Name and hashes of a run."""

    run_id: str
    config: dict[str, JsonValue]
    config_hash: str
    comparison_hash: str
    provenance: Provenance


def identify(settings: Settings, split: Split, device: torch.device, processes: Processes | None = None) -> Identity:
    """Hash configuration, data, towers and package version; loads no weights.

    How many processes train does not decide the result, but where each has negatives of its own.
    """
    processes = processes or Processes()
    config = settings_to_config(settings)
    reads_content = settings.strategy.reads_content
    towers = settings.towers.weights_hashes(seed=settings.seed) if reads_content else {}
    contents = content_hashes(split.items) if reads_content else {}
    data = data_hash(split)
    decisive: dict[str, Any] = {
        "config": decisive_config(config),
        "data": data,
        "content": contents,
        "towers": towers,
        "preprocessing": settings.towers.preprocessing() if reads_content else {},
    }
    if settings.trainer.negatives == "local" and processes.are_several:
        decisive["pools_of_negatives"] = processes.count
    config_hash = _hash({**decisive, "version": __version__})
    return Identity(
        run_id=f"{settings.strategy_name}-{config_hash[:12]}",
        config=config,
        config_hash=config_hash,
        comparison_hash=_hash({"data": data, "mask_history": settings.evaluation.mask_history}),
        provenance=Provenance(
            data_hash=data,
            content_hashes=contents,
            tower_revisions=towers,
            git_commit=_git("rev-parse", "HEAD"),
            git_dirty=None if (changes := _git("status", "--porcelain")) is None else bool(changes),
            versions={
                "peftrec": __version__,
                "python": platform.python_version(),
                **{package: version(package) for package in _PACKAGES},
            },
            device=device_name(device),
            num_devices=processes.count,
            num_nodes=processes.num_nodes,
        ),
    )


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _git(*arguments: str) -> str | None:
    """Ask git about the source tree; null where the package is not in one, or git is missing."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
