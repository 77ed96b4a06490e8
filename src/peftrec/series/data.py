"""Labelled series of different lengths from the text format of the UEA archive, padded to one length."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from peftrec.errors import DataError
from peftrec.series.settings import SeriesData


@dataclass(frozen=True, kw_only=True)
class LabelledSeries:
    """One part of a data set."""

    values: Float[Tensor, "series step channel"]
    """Zeros stand after the end of a series, as in the published code; nothing else marks it."""
    labels: Int[Tensor, " series"]


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
    series, labels = zip(*(_read(path) for path in paths.values()), strict=True)
    _check(series, labels, tuple(paths.values()))
    classes = tuple(np.unique(labels[0]).tolist())
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


def _read(path: Path) -> tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Return the series, `[channel, step]` each, and their labels."""
    try:
        series, labels, about = _aeon().load_from_ts_file(str(path), return_meta_data=True)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: aeon cannot read it: {error}") from error
    if not about["classlabel"]:
        raise DataError(f"{path}: it has no class labels (@classLabel true)")
    if not all(each.size for each in series):
        raise DataError(f"{path}: it holds no series, or one without values")
    return list(series), np.asarray(labels)


def _check(series: Any, labels: Any, paths: tuple[Path, ...]) -> None:
    num_channels = series[0][0].shape[0]
    for part, names, path in zip(series, labels, paths, strict=True):
        for number, each in enumerate(part, start=1):
            if each.shape[0] != num_channels:
                raise DataError(f"{path}: series {number} has {each.shape[0]} channels, the first one {num_channels}")
            if not np.isfinite(each).all():
                raise DataError(f"{path}: series {number} has missing or infinite values; fill them first")
        if unknown := set(names.tolist()) - set(labels[0].tolist()):
            raise DataError(f"{path}: class {min(unknown)} does not occur in {paths[0].name}")


def _padded(series: Any, names: Any, classes: tuple[str, ...], length: int) -> LabelledSeries:
    values = torch.zeros(len(series), length, series[0].shape[0])
    for row, each in zip(values, series, strict=True):
        row[: each.shape[1]] = torch.from_numpy(each.T)
    return LabelledSeries(values=values, labels=torch.from_numpy(np.searchsorted(classes, names)))
