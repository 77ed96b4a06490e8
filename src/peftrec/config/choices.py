"""What a configuration may be composed of, from the package's yaml files alone: groups, their options, and keys.
Folders of the user's own are not looked into."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftrec.config.folder import config_directory, group_folders

DEFAULTS = "defaults"


def options(folder: str = "") -> dict[str, list[str]]:
    """Return the options of each group below `conf/FOLDER`."""
    return {
        group.name: sorted(path.relative_to(group).with_suffix("").as_posix() for path in group.rglob("*.yaml"))
        for group in group_folders(config_directory() / folder)
    }


def root_node(folder: str = "") -> dict[str, Any]:
    """Return the keys of a root configuration with what stands there, without those that are Hydra's."""
    node = _read(config_directory() / folder / "config.yaml")
    return {key: value for key, value in node.items() if key not in (DEFAULTS, "hydra")}


def default_choices(folder: str = "") -> dict[str, str]:
    """Return the option of each group that the root configuration chooses."""
    entries = _read(config_directory() / folder / "config.yaml").get(DEFAULTS, [])
    plain = [entry for entry in entries if isinstance(entry, dict)]
    return {group: str(option) for entry in plain for group, option in entry.items() if option and " " not in group}


def node_of(group: str, option: str, folder: str = "") -> dict[str, Any]:
    """Return what stands in an option's yaml, over the options of its group that it begins with; empty where there is
    no such option."""
    node = _read(config_directory() / folder / group / f"{option}.yaml")
    below: dict[str, Any] = {}
    for base in node.pop(DEFAULTS, []):
        if isinstance(base, str) and base != "_self_":
            below |= node_of(group, base.partition("@")[0], folder)
    return below | node


def _read(file: Path) -> dict[str, Any]:
    import yaml

    if not file.is_file():
        return {}
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    return dict(node) if isinstance(node, Mapping) else {}
