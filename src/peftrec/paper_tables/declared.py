"""The tables of `conf/tables.yaml`: what each runs at which scale.

A scale of a table is a list of steps, each a verb of the command line and its words, or a sentence that says why there
is no such table.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError, did_you_mean

TABLES_FILE = "tables.yaml"
SCALES = ("tiny", "real", "paper")
Scale = Literal["tiny", "real", "paper"]
PLACEHOLDER = re.compile(r"\{(name|root|runs|run:[\w-]+)\}")
TRAINING_VERBS = frozenset({"train", "tune", "coldstart", "classify"})
"""What the user's own words are added to, where a step does not read a finished run."""


class Declared(BaseModel):
    """An entry of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    tiny: list[str] | str
    real: list[str] | str
    paper: list[str] | str


@dataclass(frozen=True)
class Table:
    """A table at a scale."""

    name: str
    scale: str
    title: str
    steps: tuple[tuple[str, ...], ...]
    """The words of each step, the verb first, with placeholders."""
    why_not: str | None = None
    """Why there is no such table."""

    @property
    def runs_name(self) -> str:
        """Folder of its runs below runs_dir."""
        return f"table_{self.name.replace('-', '_')}_{self.scale}"

    @property
    def needs_root(self) -> bool:
        return any("{root}" in word for step in self.steps for word in step)

    def filled(self, values: Mapping[str, str], own: Sequence[str] = ()) -> list[list[str]]:
        """Return the steps with values in place of placeholders, those without a value left as they are, and the
        user's own words added to what trains, in place of those of the same key."""
        known = {"name": self.runs_name, "runs": "runs", **values}

        def fill(word: str) -> str:
            return PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), word)

        return [_with_own([*map(fill, step)], own) if trains(step) else [*map(fill, step)] for step in self.steps]


def trains(step: Sequence[str]) -> bool:
    """Say whether a step takes the settings of a training."""
    return step[0] in TRAINING_VERBS and not any(word.startswith("run=") for word in step)


def _with_own(step: Sequence[str], own: Sequence[str]) -> list[str]:
    keys = {word.partition("=")[0] for word in own}
    return [*(word for word in step if word.partition("=")[0] not in keys), *own]


def read_tables(scale: str, file: Path | None = None) -> dict[str, Table]:
    """Return every table at a scale, by name. Raises SettingsError for an unknown scale or a malformed file."""
    if scale not in SCALES:
        raise SettingsError(f"scale={scale}: {did_you_mean(scale, SCALES)}")
    path = file or config_directory() / TABLES_FILE
    try:
        entries = {
            str(name): Declared.model_validate(entry)
            for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        }
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return {name: _table(name, scale, entry) for name, entry in entries.items()}


def find_table(name: str, scale: str) -> Table:
    """Return a table that can be built. Raises SettingsError for an unknown one, and where it has no such scale."""
    tables = read_tables(scale)
    if name not in tables:
        raise SettingsError(f"unknown table {name}; {did_you_mean(name, tables)}")
    table = tables[name]
    if table.why_not is not None:
        raise SettingsError(f"table {name}, scale={scale}: {table.why_not}; take scale=real or scale=tiny")
    return table


def _table(name: str, scale: str, entry: Declared) -> Table:
    steps = getattr(entry, scale)
    if isinstance(steps, str):
        return Table(name, scale, entry.title, (), why_not=steps)
    return Table(name, scale, entry.title, tuple(tuple(shlex.split(step)) for step in steps))
