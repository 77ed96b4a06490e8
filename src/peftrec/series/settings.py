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
    root: str | None = None
    """Folder with `NAME/NAME_TRAIN.ts` and `NAME/NAME_TEST.ts`; null for those that aeon's package holds."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """A classifier and its training; the published ones by default."""

    towers: TowerShape
    """Of both towers."""
    optimizer: Literal["adagrad", "adam"] = "adagrad"
    learning_rate: float = Field(default=1e-4, gt=0)
    batch_size: int = Field(default=3, ge=1)
    max_epochs: int = Field(default=100, ge=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifySettings:
    """One recipe on one data set, once a seed."""

    runs_dir: str
    data: SeriesData
    recipe: Recipe
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (1, 2, 3, 4, 5)
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError("seeds: give at least one, and each once")
