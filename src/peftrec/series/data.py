"""Labelled series of different lengths from the text format of the UEA archive, padded to one length."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from peftrec.data.stand_ins import refuse_stand_in
from peftrec.errors import DataError
from peftrec.series.settings import SeriesData

Series: TypeAlias = list[npt.NDArray[np.float64]]
"""Channels by steps, as many steps as a series has."""
Labels: TypeAlias = list[str]


@dataclass(frozen=True, kw_only=True)
class LabelledSeries:
    """One part of a data set."""

    values: Float[Tensor, "series step channel"]
    """Zeros stand after the end of a series, as in the published code; nothing else marks it."""
    labels: Int[Tensor, " series"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "LabelledSeries":
        """Copy to a device."""
        return LabelledSeries(values=self.values.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class SeriesSplit:
    """Training and test part as the archive divides them, padded to the longest series of either."""

    training: LabelledSeries
    test: LabelledSeries
    classes: tuple[str, ...]
    data_hash: str
    """Of the bytes of both files."""


def read_split(data: SeriesData) -> SeriesSplit:
    """Read both parts. Raises DataError where a file is missing, malformed or no classification data."""
    paths = {part: _folder(data) / data.name / f"{data.name}_{part}.ts" for part in ("TRAIN", "TEST")}
    for path in paths.values():
        if not path.exists():
            raise DataError(f"{path}: not found; set data.root to a folder that holds {path.parent.name}/{path.name}")
        refuse_stand_in(path)
    series, labels = zip(*(_read(path) for path in paths.values()), strict=True)
    _check(series, labels, tuple(paths.values()))
    classes = tuple(sorted(set(labels[0])))
    length = max(each.shape[1] for part in series for each in part)
    training, test = (_padded(part, names, classes, length) for part, names in zip(series, labels, strict=True))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths.values())).hexdigest()
    return SeriesSplit(training=training, test=test, classes=classes, data_hash=digest)


def _folder(data: SeriesData) -> Path:
    if data.root is not None:
        return Path(data.root)
    return Path(_aeon().__file__).parent / "data"


def _aeon() -> Any:
    try:
        import aeon.datasets
    except ImportError as error:
        raise DataError('series are read by a package more: pip install "peftrec[series]"') from error
    return aeon.datasets


def _read(path: Path) -> tuple[Series, Labels]:
    try:
        series, labels, about = _aeon().load_from_ts_file(str(path), return_meta_data=True)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: aeon cannot read it: {error}") from error
    if not about["classlabel"]:
        raise DataError(f"{path}: it has no class labels (@classLabel true)")
    if not len(series) or not all(each.size for each in series):
        raise DataError(f"{path}: it holds no series, or one without values")
    return list(series), [str(label) for label in labels]


def _check(series: tuple[Series, ...], labels: tuple[Labels, ...], paths: tuple[Path, ...]) -> None:
    num_channels = series[0][0].shape[0]
    for part, names, path in zip(series, labels, paths, strict=True):
        for number, each in enumerate(part, start=1):
            if each.shape[0] != num_channels:
                raise DataError(f"{path}: series {number} has {each.shape[0]} channels, the first one {num_channels}")
            if not np.isfinite(each).all():
                raise DataError(f"{path}: series {number} has missing or infinite values; fill them first")
        if unknown := set(names) - set(labels[0]):
            raise DataError(f"{path}: class {min(unknown)} does not occur in {paths[0].name}")


def _padded(series: Series, names: Labels, classes: tuple[str, ...], length: int) -> LabelledSeries:
    values = torch.zeros(len(series), length, series[0].shape[0])
    for row, each in zip(values, series, strict=True):
        row[: each.shape[1]] = torch.from_numpy(each.T)
    return LabelledSeries(values=values, labels=torch.tensor([classes.index(name) for name in names]))
