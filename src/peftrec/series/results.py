"""What a classification run leaves: one JSON file, whole or absent, to which each finished seed is added."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from peftrec.code.fingerprint import Fingerprint
from peftrec.errors import RecordError
from peftrec.files import write_atomically
from peftrec.series.settings import Recipe

_PLAIN = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=_PLAIN)
class EpochOutcome:
    """What an epoch ended with."""

    training_loss: float
    """Mean over the epoch's steps, with dropout."""
    test_accuracy: Share
    step_gate: Share
    """Mean weight of the step tower over the test series; the channel tower has the rest."""


@dataclass(frozen=True, kw_only=True, config=_PLAIN)
class SeedOutcome:
    """One training from its start to its end."""

    seed: int
    seconds: float
    epochs: tuple[EpochOutcome, ...] = Field(min_length=1)

    def least_loss_epoch(self) -> EpochOutcome:
        """Return the epoch of the least training loss, the first one of equals: the rule of the paper's text."""
        return min(self.epochs, key=lambda epoch: epoch.training_loss)


@dataclass(frozen=True, kw_only=True, config=_PLAIN)
class ClassificationResults:
    """All seeds of one recipe on one data set."""

    dataset: str
    recipe: Recipe
    data_hash: str
    modules: dict[str, str]
    """Module to the hash of what it does, for the code that trains."""
    packages: dict[str, str]
    """Package to version, without the local part."""
    num_parameters: int
    sizes: dict[str, int]
    """Series of either part, steps, channels and classes."""
    seeds: tuple[SeedOutcome, ...] = ()

    def of_seed(self, seed: int) -> SeedOutcome | None:
        """Return the outcome of a seed that has finished."""
        return next((outcome for outcome in self.seeds if outcome.seed == seed), None)

    def with_seed(self, outcome: SeedOutcome) -> "ClassificationResults":
        """Return these results with one more seed."""
        return replace(self, seeds=tuple(sorted((*self.seeds, outcome), key=lambda each: each.seed)))


_FORMAT = TypeAdapter(ClassificationResults)


def results_path(runs_dir: str, results: ClassificationResults) -> Path:
    """Return the file of a recipe on a data set; its name holds a hash of all that decides an outcome but the seed."""
    decisive = _FORMAT.dump_json(replace(results, seeds=()))
    return _folder(runs_dir) / f"{results.dataset}-{hashlib.sha256(decisive).hexdigest()[:12]}.json"


def former_code(runs_dir: str, empty: ClassificationResults) -> tuple[Path, Fingerprint] | None:
    """Return the file of the same recipe on the same data by other code, and that code; None where there is none, or
    where the present code has a file."""
    path = results_path(runs_dir, empty)
    if path.exists():
        return None
    for other in sorted(_folder(runs_dir).glob(f"{empty.dataset}-*.json"), key=_written, reverse=True):
        found = read_results(other, empty)
        if replace(found, seeds=(), modules=empty.modules, packages=empty.packages) == empty:
            return other, Fingerprint(modules=found.modules, versions=found.packages)
    return None


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def _folder(runs_dir: str) -> Path:
    return Path(runs_dir) / "classify"


def read_results(path: Path, empty: ClassificationResults) -> ClassificationResults:
    """Return what the file holds, or `empty` where there is none. Raises RecordError."""
    if not path.exists():
        return empty
    try:
        return _FORMAT.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecordError(f"{path}: {place}: {first['msg']}; remove the file to train its seeds again") from error


def add_seed(path: Path, empty: ClassificationResults, outcome: SeedOutcome) -> ClassificationResults:
    """Add a seed to the file as it is now: another process may have added some of its own."""
    results = read_results(path, empty)
    if results.of_seed(outcome.seed) is None:
        results = results.with_seed(outcome)
        write_atomically(path, _FORMAT.dump_json(results, indent=2) + b"\n")
    return results
