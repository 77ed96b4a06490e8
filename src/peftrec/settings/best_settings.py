"""The best settings that a tuning wrote, as optional groups of the root configuration (`conf/config.yaml`)."""

from collections.abc import Mapping
from pathlib import Path

from peftrec.code.user_code import config_folders
from peftrec.errors import SettingsError

TUNED, TUNED_COMBINATION = "tuned", "tuned_combination"
GROUPS = {TUNED: ("strategy",), TUNED_COMBINATION: ("strategy", "user_encoder", "objective")}
"""Folder of files, and the groups whose options are the path of one."""
_SHOWN = 6


def check_best_settings(choices: Mapping[str, str]) -> None:
    """Raise SettingsError where a folder of best settings, that the command names, has none of what is chosen: the
    groups are optional, and defaults would be taken for the best."""
    for folder in config_folders():
        present = {group: keys for group, keys in GROUPS.items() if (folder / group).is_dir()}
        if present and not any(
            Path(folder, group, *(choices[key] for key in keys)).with_suffix(".yaml").is_file()
            for group, keys in present.items()
        ):
            wanted = " ".join(f"{key}={choices[key]}" for key in max(present.values(), key=len))
            raise SettingsError(
                f"{folder}: no best setting of {wanted} was written there, but those of {_listed(folder, present)}; "
                f"choose one of them, or leave out --config-dir {folder}"
            )


def _listed(folder: Path, present: Mapping[str, tuple[str, ...]]) -> str:
    found = [
        " ".join(f"{key}={option}" for key, option in zip(keys, _options(file, folder / group, len(keys)), strict=True))
        for group, keys in present.items()
        for file in sorted((folder / group).rglob("*.yaml"))
    ]
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{', '.join(found[:_SHOWN])}{more}" if found else "nothing"


def _options(file: Path, folder: Path, number: int) -> list[str]:
    """Return the options that a path is made of; names that hold a slash, the first has."""
    parts = file.relative_to(folder).with_suffix("").parts
    first = len(parts) - number + 1
    return ["/".join(parts[:first]), *parts[first:]]
