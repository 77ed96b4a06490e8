"""Hashes of what is learnt from and ranked, independent of paths and file formats."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from peftrec.data.items import Items
from peftrec.data.split import Split


def hash_lines(lines: Sequence[str]) -> str:
    """Hash a list of strings; a separator inside one does not collide with two."""
    return hashlib.sha256(json.dumps(list(lines), ensure_ascii=False).encode()).hexdigest()


def data_hash(split: Split, *, with_times: bool = False) -> str:
    """Hash candidates, training windows and both sets of targets, with the names of users and items, by which a
    finished run is asked; with the times where they are read. Titles and images do not enter."""
    digest = hashlib.sha256(hash_lines(split.items.ids).encode())
    digest.update(str(split.sequence_length).encode())
    for histories in (split.windows, split.validation.histories, split.test.histories):
        digest.update(hash_lines(histories.users).encode())
        if with_times and histories.times is not None:
            digest.update(np.ascontiguousarray(histories.times).data)
    arrays: list[npt.NDArray[np.integer]] = [split.windows.items, split.windows.offsets]
    for cases in (split.validation, split.test):
        arrays += [cases.histories.items, cases.histories.offsets, cases.targets]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def content_hashes(items: Items) -> dict[str, str]:
    """Hash titles and images of the candidates, or the features that stand in for them, in their order."""
    hashes: dict[str, str] = {}
    if items.titles is not None:
        hashes["text"] = hash_lines(items.titles)
    if items.images is not None:
        hashes["image"] = items.images.fingerprint()
    return hashes | {modality: features.fingerprint() for modality, features in items.features.items()}
