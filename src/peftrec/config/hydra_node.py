"""What a command or a yaml file may say to Hydra itself: what sweeps need, and nothing that Hydra would run.

Hydra builds whatever class or function its node names under `_target_` (callbacks, launchers and what stands in them),
and so does Python's logging with what `hydra.job_logging` holds. Parts of a run come through one door, which checks
their classes (peftrec.code.user_code); these keys would go around it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from peftrec.config.launchers import LAUNCHER, check_launcher, check_nested
from peftrec.errors import SettingsError

SWEEP_FOLDER = "hydra.sweep.dir"
"""Where what is written of a sweep lies: among the runs, unless a command says another place."""
ALLOWED = (LAUNCHER, "hydra.launcher.", SWEEP_FOLDER)
"""Keys of a command line, or how they begin."""
SWEEPER, SWEEPERS = "sweeper._target_", "hydra._internal.core_plugins."
"""What divides a sweep into jobs, and where such classes lie; that a class there is one, Hydra checks itself."""
PROGRAMS = frozenset({"_target_", "_args_", "_partial_", "()", "class", "factory", "env_set"})
"""Keys that name what is called, or, the last one, what the environment of a job holds."""


def is_hydras(key: str) -> bool:
    """Say whether a key of a command line is Hydra's own."""
    return key == "hydra" or key.startswith(("hydra.", "hydra/", "hydra@"))


def check_key(key: str, text: str) -> None:
    """Raise SettingsError for a key of Hydra's own that no sweep needs."""
    is_allowed = key in ALLOWED or key.startswith(tuple(each for each in ALLOWED if each.endswith(".")))
    if not is_allowed or any(part in PROGRAMS for part in key.split(".")):
        raise SettingsError(
            f"{text}: not for a command: of Hydra's own keys, sweeps need hydra/launcher=NAME, "
            "hydra.launcher.KEY=VALUE and hydra.sweep.dir=DIR alone"
        )
    check_nested(key, text)


def check_single(override: Override, text: str) -> None:
    """Raise SettingsError for several values, or an empty folder of the sweep, which all its jobs share."""
    key = override.key_or_group
    if override.is_sweep_override():
        raise SettingsError(
            f"{text}: all jobs of a sweep share it: write one value, and one that holds commas in quotes: "
            f"{key}='\"A,B\"'"
        )
    if key == SWEEP_FOLDER and override.value() == "":
        raise SettingsError(f"{text}: it names no folder: write {key}=DIR, or leave this word out")


def check_node(config: DictConfig) -> None:
    """Raise SettingsError where the composed node of Hydra names a program besides a launcher of ours and a sweeper, or
    a key that the launcher does not have.

    Interpolations are not resolved: that would need the job.
    """
    node: Any = OmegaConf.to_container(config.hydra, resolve=False)
    for path, value in _leaves(node, ""):
        *_, last = path.split(".")
        if path == "launcher._target_":
            continue  # one of ours, or refused below
        if path == SWEEPER:
            if not str(value).startswith(SWEEPERS):
                raise SettingsError(f"hydra.{path}: {value}: no sweeper of Hydra; remove it")
        elif last in PROGRAMS or path.startswith(("callbacks.", "job.env_set.")):
            raise SettingsError(
                f"hydra.{path}: what Hydra would run or set here, no sweep needs; remove it (code of your own comes in "
                "by code=DIR and --config-dir DIR)"
            )
    check_launcher(node["launcher"])


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values, of lists too; an empty group is none."""
    entries = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else None
    if entries is None:
        yield prefix, node
        return
    for key, value in entries:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
