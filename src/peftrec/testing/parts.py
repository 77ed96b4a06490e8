"""Which parts are tested, by kind and name; they are found by their yaml, and nothing here knows one by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftrec.code.user_code import open_door
from peftrec.config.fields import TARGET
from peftrec.config.folder import config_directory
from peftrec.config.instantiate import MISSING
from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings

KINDS = ("strategy", "user_encoder", "objective", "data")
"""Groups of the configuration; each has its laws in a file of that name."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is tested."""

    names: Mapping[str, tuple[str, ...]]
    """By kind."""
    overrides: tuple[str, ...] = ()
    """Of the configuration that each part is composed in."""
    are_users: bool = False
    """Whether the user chose them, by name or by folder."""


CHOSEN = pytest.StashKey[Chosen]()
"""Where a session of pytest keeps it."""


def choose(
    named: Mapping[str, Sequence[str]], *, code: Sequence[str], config: Sequence[str], overrides: Sequence[str]
) -> Chosen:
    """Return what to test: the parts that are named, else all of the user's folders, else all of this package.

    Raises SettingsError for a folder or a name that there is not, and for a part of the user's that does not compose.
    """
    if code or config:
        open_door(code=code, config=config)
    compose.cache_clear()  # another door may have been open
    names = {kind: tuple(dict.fromkeys(given)) for kind, given in named.items()}
    if not any(names.values()) and config:
        names = {kind: tuple(name for folder in config for name in _names(Path(folder) / kind)) for kind in KINDS}
        if not any(names.values()):
            raise SettingsError(
                f"{', '.join(config)}: no yaml of a part here; one stands in a folder named for its kind: "
                f"{config[0]}/strategy/mine.yaml"
            )
    if not any(names.values()):
        return Chosen(names=names_of_package(), overrides=tuple(overrides))
    for kind, given in names.items():
        for name in given:
            compose(kind, name, tuple(overrides))
    return Chosen(names=names, overrides=tuple(overrides), are_users=True)


@cache
def compose(kind: str, name: str, overrides: tuple[str, ...] = ()) -> Settings:
    """Compose a run with that part; a key of another kind's (`data.root`) is left to the parts of that kind."""
    own = [word for word in overrides if (group := word.partition(".")[0]) == kind or group not in KINDS]
    # An objective that scores against the whole catalogue takes no live towers.
    beside = ["strategy=iisan_cached"] if kind == "objective" else []
    return compose_settings([*beside, f"{kind}={name}", *own])


def kind_of(file: Path) -> str:
    """Return the kind of parts whose laws a test file holds."""
    return file.stem.removeprefix("test_")


def names_of_package() -> dict[str, tuple[str, ...]]:
    """Return all parts of this package, but those that need a value of the user's."""
    return {
        kind: tuple(name for name in _names(_group(kind)) if MISSING not in _node(kind, name).values())
        for kind in KINDS
    }


def one_of_each_class(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the first of those parts of this package that share a class, and whether they read a store."""
    first: dict[tuple[str, str], str] = {}
    for name in names:
        node = _node(kind, name)
        first.setdefault((node[TARGET], node.get("states", "live")), name)
    return tuple(first.values())


def _group(kind: str) -> Path:
    return config_directory() / kind


def _names(group: Path) -> tuple[str, ...]:
    return tuple(sorted(file.relative_to(group).with_suffix("").as_posix() for file in group.rglob("*.yaml")))


def _node(kind: str, name: str) -> dict[str, Any]:
    node: dict[str, Any] = yaml.safe_load((_group(kind) / f"{name}.yaml").read_text(encoding="utf-8"))
    return node
