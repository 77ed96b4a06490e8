"""What decides a classification result; `peftrec classify` composes it from `conf/series`."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT, FolderName
from peftrec.errors import SettingsError
from peftrec.models.gtn_shape import TowerShape


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SeriesData:
    """A data set of the UEA archive in its text format, as aeon reads it."""

    name: FolderName = "JapaneseVowels"
    """Name in the archive, and of the folder of results."""
    root: str | None = None
    """Folder with `NAME/NAME_TRAIN.ts` and `NAME/NAME_TEST.ts`; null for those that aeon's package holds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """A classifier and its training; the published ones by default."""

    towers: TowerShape
    """Of both towers."""
    optimizer: Literal["adagrad", "adam"] = "adagrad"
    """What trains: `adagrad`, as published, or `adam`."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Of that optimizer."""
    batch_size: int = Field(default=3, ge=1)
    """Series a step."""
    max_epochs: int = Field(default=100, ge=1)
    """Epochs that every seed trains."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifySettings:
    """One recipe on one data set, once a seed."""

    runs_dir: str
    """Folder of all results."""
    data: SeriesData
    """The labelled series."""
    recipe: Recipe
    """The classifier and how it trains."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (1, 2, 3, 4, 5)
    """Seeds, one training each."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to train; `auto` takes a GPU where there is one."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError("seeds: give at least one, and each once")
