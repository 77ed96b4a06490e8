"""What starts the jobs of a sweep: the launchers of this package, the keys of each, and what is said of other words.

Hydra lists its own launchers and those of every plugin that is installed; of them only ours check all jobs first.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from peftrec.errors import SettingsError, did_you_mean

LAUNCHER = "hydra/launcher"
"""Their group."""
NODE = "hydra.launcher"
"""Where the one that was chosen stands."""

_WRONG_VALUE = re.compile(
    r"Error merging override \+*([^=]+)=(.*?): ((?:Value|Cannot|Invalid|Incompatible|Unsupported|Non|field|child) .*)",
    re.DOTALL,
)
"""A value may hold the colon and blank that stand before the reason: `{a: 1}`."""
_TAKEN_AWAY = re.compile(r"Error merging override (~.*?): .* does not support deletion", re.DOTALL)
_OF_TYPE = re.compile("could not be converted to (Integer|Float|Boolean)")
_TYPES = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def launchers() -> dict[str, dict[str, Any]]:
    """Return this package's launchers by name, each with its keys and what stands there. Hydra must have started."""
    store = ConfigStore.instance()
    nodes = {name.removesuffix(".yaml"): store.load(f"{LAUNCHER}/{name}") for name in store.list(LAUNCHER)}
    ours = {name: node.node for name, node in nodes.items() if node.provider == "peftrec"}
    plain = {name: OmegaConf.to_container(node, resolve=False) for name, node in ours.items()}
    return {name: cast("dict[str, Any]", node) for name, node in plain.items()}


def without_other_programs(options: Iterable[str]) -> list[str]:
    """Return the options of the launchers' group that a sweep may take: ours, and yaml files of the user's own."""
    ours, declared = launchers(), {name.removesuffix(".yaml") for name in ConfigStore.instance().list(LAUNCHER)}
    return [name for name in options if name in ours or name not in declared]


def choices() -> str:
    """Return what may be written of the launchers' group."""
    return " or ".join(f"{LAUNCHER}={name}" for name in launchers())


def check_nested(key: str, text: str) -> None:
    """Raise SettingsError for a key below one that holds a single value in all launchers that have it."""
    name, _, below = key.removeprefix(f"{NODE}.").partition(".")
    values = [node[name] for node in launchers().values() if name in node]
    if below and values and not any(isinstance(value, dict) for value in values):
        raise SettingsError(f"{text}: {NODE}.{name} has no keys of its own; write {NODE}.{name}=VALUE")


def check_launcher(node: object) -> None:
    """Raise SettingsError for a composed launcher that is none of ours, or has a key that it does not know."""
    if not isinstance(node, Mapping):
        raise SettingsError(f"{NODE}: {node}: keys are needed here, as those of a launcher's yaml; take {choices()}")
    target = node.get("_target_")
    named = next(((name, keys) for name, keys in launchers().items() if keys["_target_"] == target), None)
    if named is None:
        raise SettingsError(f"{NODE}._target_: {target}: no launcher of this package; take {choices()}")
    name, keys = named
    known = [key for key in keys if key != "_target_"]
    for key in node:
        if key not in keys:
            hint = did_you_mean(key, known, otherwise=f"it has {', '.join(known)}")
            raise SettingsError(f"{NODE}.{key}: {LAUNCHER}={name} has no such key; {hint}")


def explain_wrong_value(said: str) -> str | None:
    """Return in our words what Hydra says of a value that a key of its own cannot hold, or cannot be without; None for
    what else it says."""
    if (taken := _TAKEN_AWAY.fullmatch(said)) is not None:
        return f"{taken[1]}: it must have a value: leave this word out"
    if (wrong := _WRONG_VALUE.fullmatch(said)) is None:
        return None
    key, value, reason = wrong.groups()
    of_type = _OF_TYPE.search(reason)
    if of_type is not None:
        return f"{key}={value}: expected {_TYPES[of_type[1]]}"
    if "is not Optional" in reason:
        return f"{key}={value}: it must have a value: write {key}=VALUE, or leave this word out"
    return f"{key}={value}: {reason}"
