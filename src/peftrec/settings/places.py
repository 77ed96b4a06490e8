"""Where the things lie now that a finished run was trained on: as its record says, or as a command says.

Places are no part of a run's name, so data and towers may move, and a folder of runs may. What was trained on is told
by its hash when the run is restored.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from peftrec.config.roles import Role, value_of
from peftrec.errors import SettingsError, did_you_mean

GROUPS = ("data.", "towers.", "hidden_states.")
"""How the keys of places begin that a verb takes beside a run."""
PATHS = ("data.root", "hidden_states.directory")
PATHS_OF_TOWERS = ("checkpoint", "tokenizer", "file")
"""Keys whose values may be relative paths; names on a hub look like them."""
STORES = "hidden_states.directory"


def is_place_word(word: str) -> bool:
    """Say whether a word of a command is a place of a run's things, `data.root=DIR`, or looks like one."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key.startswith(GROUPS)


def placed(
    config: Mapping[str, JsonValue], roles: Mapping[str, str], bases: Sequence[Path], words: Sequence[str]
) -> dict[str, Any]:
    """Return a recorded configuration with the places that a command names, `data.root=DIR`. Of the others, relative
    ones are looked for in `bases`, one after the other, wherever the command is given.

    Raises SettingsError for a key that is no place of this run.
    """
    moved: dict[str, Any] = _copy(config)
    towers = config.get("towers")
    names = towers if isinstance(towers, Mapping) else ()
    for key in (*PATHS, *(f"towers.{name}.{path}" for name in names for path in PATHS_OF_TOWERS)):
        value = value_of(config, key)
        if not isinstance(value, str) or Path(value).is_absolute() or value.startswith("~"):
            continue
        found = [base / value for base in bases if (base / value).exists()]
        if not found and key == STORES:
            found = [base / value for base in bases]  # it is built where it would lie
        if found:
            _set(moved, key, str(found[0]))
    known = [key for key, role in roles.items() if role == Role.PLACE and key.startswith(GROUPS)]
    for word in words:
        key, _, text = word.partition("=")
        if key not in known:
            hint = did_you_mean(key, known, otherwise=f"the places of this run are {', '.join(known)}")
            raise SettingsError(f"{word}: a finished run is asked as it was trained, so only places can change; {hint}")
        _set(moved, key, _value(word, text))
    return moved


def bases_of(run_directory: Path, config: Mapping[str, JsonValue], started_in: str | None) -> list[Path]:
    """Return where relative places of a run may begin: the folder that its runs_dir is relative to, wherever that lies
    now, then the one in which it was started."""
    beside = base_of(run_directory, config)
    return [*([] if beside is None else [beside]), *([] if started_in is None else [Path(started_in)])]


def base_of(run_directory: Path, config: Mapping[str, JsonValue]) -> Path | None:
    """Return the folder in which the run was started, or where that now lies: the one that runs_dir, name and run_id
    lead from to the run. None where runs_dir was absolute, or the run was moved out of it."""
    runs_dir, name = Path(str(config.get("runs_dir", "/"))), str(config.get("name"))
    folder = run_directory.resolve()
    below = (*runs_dir.parts, name, folder.name)
    if runs_dir.is_absolute() or ".." in runs_dir.parts or folder.parts[-len(below) :] != below:
        return None
    return Path(*folder.parts[: -len(below)])


def _value(word: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{word}: cannot be read; quote the value") from error
    return text if value is not None and not isinstance(value, str | int) else value


def _copy(node: Any) -> Any:
    return {key: _copy(value) for key, value in node.items()} if isinstance(node, Mapping) else node


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        inner = node.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{key}: the run has no {parent}")
        node = inner
    node[last] = value
