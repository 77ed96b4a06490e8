"""Where a combination's search space comes from: `search/STRATEGY.yaml`, else a default one, and of each other part
that was listed `search/GROUP/OPTION.yaml`, where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from omegaconf import OmegaConf

from peftrec.errors import SettingsError
from peftrec.settings.run import Settings
from peftrec.tuning.combinations import Combination
from peftrec.tuning.default_space import default_space
from peftrec.tuning.spaces import Space, read_space

SEARCH = "search"


@dataclass(frozen=True, kw_only=True)
class FoundSpace:
    """A space, and where its lines stand, for messages."""

    space: Space
    origin: str
    """The strategy's file."""
    others: Mapping[str, str]
    """Line that another file has, as `space.user_encoder.dropout`, to this file."""

    def place(self, line: str) -> str:
        """Return file and line."""
        return f"{self.others.get(line, self.origin)}: {line}"


def space_file(combination: Combination, key: str) -> str:
    """Return the file that says between which values a key is searched."""
    group = key.partition(".")[0]
    option = combination.beside.get(group)
    return f"{SEARCH}/{combination.strategy}.yaml" if option is None else f"{SEARCH}/{group}/{option}.yaml"


class SpaceFiles:
    """The yaml files of spaces in conf/, and in folders that --config-dir names; each is read once, which takes a
    third of a second."""

    def __init__(self, loader: ConfigLoader) -> None:
        self.loader = loader
        self._read: dict[str, Space] = {}

    def find(self, combination: Combination, settings: Settings) -> FoundSpace:
        """Return the strategy's space with those of the other parts. Raises SettingsError that names file and key."""
        space, origin = self.read(f"{SEARCH}/{combination.strategy}"), f"{SEARCH}/{combination.strategy}.yaml"
        if space is None:
            space, origin = default_space(settings), f"the default space of {combination.strategy}"
        others: dict[str, str] = {}
        for group, option in combination.beside.items():
            name = f"{SEARCH}/{group}/{option}"
            if (part := self.read(name)) is not None:
                _check_keys(part, group, f"{name}.yaml")
                part = part.with_starts_of(option)
                space = space.joined(part)
                lines = [*(f"space.{key}" for key in part.dimensions), *(f"starts.{start}" for start in part.starts)]
                others |= dict.fromkeys(lines, f"{name}.yaml")
        return FoundSpace(space=space, origin=origin, others=others)

    def read(self, name: str) -> Space | None:
        """Return a file's space, None where there is no such file."""
        if not exists(self.loader, name):
            return None
        if name not in self._read:
            node = compose(name)
            for group in name.split("/")[:-1]:
                node = node[group]
            plain = cast("dict[str, Any]", OmegaConf.to_container(node, resolve=True))
            self._read[name] = read_space(plain, f"{name}.yaml")
        return self._read[name]


def exists(loader: ConfigLoader, name: str) -> bool:
    """Say whether a folder of the configuration has a yaml of this name."""
    group, _, option = name.rpartition("/")
    return option in loader.get_group_options(group)


def _check_keys(space: Space, group: str, origin: str) -> None:
    """Raise SettingsError for keys of other parts: what a strategy's rates may be, its own space says."""
    lines = [
        *((f"space.{key}", key) for key in space.dimensions),
        *((f"starts.{name}.{key}", key) for name, values in space.starts.items() for key in values),
    ]
    for line, key in lines:
        if not key.startswith(f"{group}."):
            raise SettingsError(
                f"{origin}: {line}: a space of this folder has keys of {group} alone, as {group}.dropout; the others "
                f"are tuned by {SEARCH}/STRATEGY.yaml"
            )
