"""Hashes of what is learnt from and ranked, independent of paths and file formats."""

import hashlib
import json
from collections.abc import Mapping, Sequence

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


def content_hashes(items: Items, readers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Hash titles (`text`) and images (`image`) of the candidates, or the features that stand in for them, in their
    order. `readers` names towers that read either; each has an entry of its own."""
    hashes: dict[str, str] = {}
    if items.titles is not None:
        hashes["text"] = hash_lines(items.titles)
    if items.images is not None:
        hashes["image"] = items.images.fingerprint()
    read = {tower: hashes[modality] for tower, modality in (readers or {}).items() if modality in hashes}
    return hashes | read | {tower: features.fingerprint() for tower, features in items.features.items()}
