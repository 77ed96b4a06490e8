"""Ready features meet the items: one row an item, and a counted policy for rows that are not finite."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from peftrec.data.catalogue import Catalogue
from peftrec.data.features import FeatureFile, FeatureRows
from peftrec.data.source import DataSource
from peftrec.errors import SHOWN, DataError, shortlist

OF_ZEROS = "features_of_zeros"
"""Ends the name of a count of items whose features say nothing."""


def attach_features(catalogue: Catalogue, source: DataSource, files: Iterable[FeatureFile]) -> Catalogue:
    """Give the items of a catalogue their features; only rows of items that occur in a history are looked at.

    Raises DataError where a file has not one row an item, and as the policy on rows that are not finite says.
    """
    for file in files:
        if len(file.states) != len(catalogue.items):
            raise DataError(
                f"{file.path}: {len(file.states):,} rows for {len(catalogue.items):,} items: row r must belong to "
                "row r of the items' file"
            )
        occurring = catalogue.interactions.occurring()
        is_missing, is_zero = _look_through(file, occurring)
        missing = occurring[is_missing]
        catalogue = _settle(catalogue, source, file, missing)
        if is_zero.any():
            counts = {**catalogue.counts, f"{file.tower}_{OF_ZEROS}": int(is_zero.sum())}
            catalogue = replace(catalogue, counts=counts)
        rows = np.arange(len(catalogue.items))
        rows[missing] = -1
        features = FeatureRows(file=file, rows=rows, replacement=_replacement(file, occurring[~is_missing]))
        items = replace(catalogue.items, features={**catalogue.items.features, file.tower: features})
        catalogue = replace(catalogue, items=items)
    return catalogue


def _look_through(
    file: FeatureFile, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Say which rows are not finite, and which hold nothing but zeros. Raises DataError where all that are finite are
    one and the same."""
    is_missing, is_zero = (np.zeros(len(rows), dtype=np.bool_) for _ in range(2))
    first: npt.NDArray[Any] | None = None
    are_alike = True
    for part, block in file.blocks(rows):
        is_missing[part] = ~np.isfinite(block).all(axis=(1, 2))
        is_zero[part] = ~block.any(axis=(1, 2))
        present = block[~is_missing[part]]
        if len(present) and are_alike:
            first = present[0] if first is None else first
            are_alike = bool((present == first).all())
    if are_alike and len(rows) - is_missing.sum() > 1:
        value = "zeros" if is_zero.any() else "the same"
        raise DataError(
            f"{file.path}: the rows of all {len(rows):,} items in histories are {value}, so that they tell none from "
            f"another: correct {file.key}.file, or set {file.key}=null"
        )
    return is_missing, is_zero


def _replacement(file: FeatureFile, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return what stands in for a missing row: zeros, or the mean of the rows that are there."""
    total = np.zeros(file.states.shape[1:], dtype=np.float64)
    if file.missing == "mean":
        for _, block in file.blocks(rows):
            total += block.sum(axis=0, dtype=np.float64)
    return (total / max(1, len(rows))).astype(np.float32)


def _settle(catalogue: Catalogue, source: DataSource, file: FeatureFile, missing: npt.NDArray[np.int64]) -> Catalogue:
    if file.missing == "error":
        if len(missing):
            raise DataError(_refusal(catalogue, file, missing))
        return catalogue
    if file.missing != "drop":
        name = f"{file.tower}_features_set_to_{file.missing}"
        return replace(catalogue, counts={**catalogue.counts, name: len(missing)})
    name, short = f"items_dropped_missing_{file.tower}_features", "users_dropped_short_history"
    counts = {**catalogue.counts, name: len(missing)}
    if not len(missing):
        return replace(catalogue, counts=counts)
    interactions = catalogue.interactions.where(~np.isin(catalogue.interactions.items, missing))
    is_short = interactions.lengths < source.minimum_history
    if is_short.all() or (is_short.any() and source.short_histories == "error"):
        user = int(np.flatnonzero(is_short)[0])
        raise DataError(
            f"{file.path}: without the {len(missing)} items whose features are missing, {is_short.sum()} of "
            f"{len(is_short)} users have fewer than {source.minimum_history} items (user "
            f"{interactions.users[user]!r} has {interactions.lengths[user]}): set data.short_histories=drop, or "
            f"{file.key}.missing=zero"
        )
    counts[short] = counts.get(short, 0) + int(is_short.sum())
    return replace(catalogue, interactions=interactions.of_users(~is_short), counts=counts)


def _refusal(catalogue: Catalogue, file: FeatureFile, missing: npt.NDArray[np.int64]) -> str:
    named = [f"row {row} of item {catalogue.items.ids[row]!r}" for row in missing[:SHOWN].tolist()]
    return (
        f"{file.path}: {len(missing)} rows, counted from 0, are not finite: {shortlist(named, total=len(missing))}; "
        f"mend them, or set {file.key}.missing=zero or mean to fill them in, or drop to remove such items from all "
        "histories"
    )
