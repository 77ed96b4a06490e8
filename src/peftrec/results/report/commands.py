"""The command that trains a run again: the choices that come nearest to its configuration, and the keys that differ.

Composing the words gives the recorded configuration. They are found against what the yaml files of this version say;
the code of the run's commit may have said something else, so that the two belong together.
"""

import functools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose
from omegaconf import OmegaConf
from pydantic import JsonValue

from peftrec.code.places import PACKAGE
from peftrec.code.user_code import without_config_folders
from peftrec.config.composition import ROOT_CONFIG, composer
from peftrec.config.fields import TARGET, fields_of, named_field, part_classes, told_class
from peftrec.config.folder import config_directory
from peftrec.config.instantiate import MISSING, with_defaults
from peftrec.results.record import Record
from peftrec.results.report.override_text import WORD, in_override
from peftrec.settings.composition import FILLED_BY_CHOICE
from peftrec.settings.run import Settings

Flat = Mapping[str, JsonValue]

CHOSEN_BY_CONTENT = ("data", "towers", "user_encoder", "objective")
"""Groups whose options a record does not name."""
NOT_WORDS = (FILLED_BY_CHOICE,)
ALWAYS_SAID = ("name", "seed")


@dataclass(frozen=True)
class Command:
    """What trains a run again."""

    words: tuple[str, ...]
    """Behind `peftrec train`."""
    needs_folder: bool = False
    """Whether parts are of the user's own, from a folder that the record does not name."""

    @property
    def text(self) -> str:
        """The command for a shell."""
        folder = ("--config-dir", "DIR") if self.needs_folder else ()
        return shlex.join(["peftrec", "train", *folder, *self.words])


def command_of(record: Record) -> Command:
    """Return the command of a run."""
    recorded = flat(record.config)
    is_known = _is_known(record.strategy, recorded)
    choices = list(_choices(recorded))
    base = (f"strategy={record.strategy}", *choices) if is_known else tuple(choices)
    written, described = _composed(base)
    described = {**_defaults_of_named(record.config), **described}
    if not is_known:
        recorded.pop(f"strategy.{TARGET}", None)
        described = {key: value for key, value in described.items() if not key.startswith("strategy.")}
    changed = [
        f"{key}={in_override(value)}"
        for key, value in recorded.items()
        if key in ALWAYS_SAID or (key not in NOT_WORDS and described.get(key, MISSING) != value)
    ]
    brought = [key for key in described if key in written]
    return Command(
        (f"strategy={record.strategy}", *choices, *_removed(brought, recorded), *changed),
        needs_folder=not is_known or any(_is_of_user(key, value) for key, value in recorded.items()),
    )


def _defaults_of_named(config: Mapping[str, JsonValue]) -> Flat:
    """Return what towers under names of the user's own have where nothing is said but what they are."""
    named = named_field(part_classes(fields_of(Settings)["towers"].annotation)[0])
    towers = config.get("towers")
    assert named is not None
    found: dict[str, JsonValue] = {}
    for name, tower in towers.items() if isinstance(towers, dict) else ():
        if isinstance(tower, dict) and (told := told_class(named[1].classes, tower)) is not None:
            said = {key: tower[key] for key, field in fields_of(told).items() if field.is_required()}
            found |= flat({"towers": {name: with_defaults((told,), said)}})
            found = {key: value for key, value in found.items() if key not in flat({"towers": {name: said}})}
    return found


def _is_known(strategy: str, recorded: Flat) -> bool:
    """Return whether the package has the strategy's yaml, and for the same class."""
    option = _options("strategy").get(strategy)
    return option is not None and option.get(TARGET) == recorded.get(f"strategy.{TARGET}")


def _is_of_user(key: str, value: JsonValue) -> bool:
    return key.endswith(f".{TARGET}") and not str(value).startswith(f"{PACKAGE}.")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, JsonValue]:
    """Return dotted key to value; an empty group is a value, and so is one with names that no dotted key can hold."""
    found: dict[str, JsonValue] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value and all(WORD.fullmatch(name) for name in value):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _choices(recorded: Flat) -> Iterator[str]:
    """Yield the options that are nearer to what a record holds than the usual ones."""
    usual = _usual_options()
    for group in CHOSEN_BY_CONTENT:
        own = {key.removeprefix(f"{group}."): value for key, value in recorded.items() if key.startswith(f"{group}.")}
        likeness = {name: _likeness(option, own) for name, option in _options(group).items()}
        nearest = max(likeness, key=lambda name: (likeness[name], name == usual[group], name))
        if own and nearest != usual[group] and likeness[nearest] > likeness[usual[group]]:
            yield f"{group}={nearest}"


def _likeness(option: Flat, own: Flat) -> float:
    """Return how many more of an option's keys a configuration has than not; nothing is like what another class is."""
    if TARGET in own and TARGET in option and option[TARGET] != own[TARGET]:
        return float("-inf")
    given = {key: value for key, value in option.items() if value != MISSING and key != TARGET}
    return sum(1 if key in own and own[key] == value else -1 for key, value in given.items())


@functools.cache
def _options(group: str) -> dict[str, Flat]:
    """Return the yaml files of a group as they stand there, by name."""
    folder = config_directory() / group
    files = sorted(folder.rglob("*.yaml"))
    return {_name(file, folder): flat(_read(file)) for file in files}


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return {key: value for key, value in content.items() if key != "defaults"}


@functools.cache
def _usual_options() -> dict[str, str]:
    defaults = yaml.safe_load((config_directory() / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {key: value for each in defaults if isinstance(each, dict) for key, value in each.items()}


@functools.cache
def _composed(choices: tuple[str, ...]) -> tuple[frozenset[str], Flat]:
    """Return the keys that yaml files say of these choices, and the whole configuration with its classes' defaults, in
    which MISSING is what a user must give. Nothing is built: some parts import for that what takes long."""
    with without_config_folders(), composer():
        config = compose(ROOT_CONFIG, overrides=list(choices))
        written: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    return frozenset(flat(written)), flat(with_defaults((Settings,), written))


def _removed(brought: Sequence[str], recorded: Flat) -> Iterator[str]:
    """Yield the keys that the choices bring and the run does not have, where nothing that stands above them is null."""
    for key in brought:
        above = [".".join(key.split(".")[:length]) for length in range(1, key.count(".") + 1)]
        if key not in recorded and not any(each in recorded and recorded[each] is None for each in above):
            yield f"~{key}"
