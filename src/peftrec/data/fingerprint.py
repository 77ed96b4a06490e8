"""Hashes of what is learnt from and ranked, independent of paths and file formats."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from peftrec.data.choices import TITLE
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


def content_hashes(items: Items, contents: Mapping[str, str] | None = None) -> dict[str, str]:
    """Hash titles (`text`) and images (`image`) of the candidates, or the features that stand in for them, in their
    order. `contents` names towers and what each reads, a text by its name or `image`; each has an entry of its own."""
    texts = {TITLE: items.titles, **items.texts}
    hashes = {name: hash_lines(text) for name, text in texts.items() if text is not None}
    if items.images is not None:
        hashes["image"] = items.images.fingerprint()
    both = {tower: hashes[content] for tower, content in (("text", TITLE), ("image", "image")) if content in hashes}
    read = {tower: hashes[content] for tower, content in (contents or {}).items() if content in hashes}
    return both | read | {tower: features.fingerprint() for tower, features in items.features.items()}
