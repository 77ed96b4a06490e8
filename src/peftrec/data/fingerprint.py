"""Hashes of what is learnt from and ranked, independent of paths and file formats."""

import hashlib
import json
from collections.abc import Sequence

from peftrec.data.items import Items
from peftrec.data.split import RankingCases, Split


def hash_lines(lines: Sequence[str]) -> str:
    """Hash a list of strings; a separator inside one does not collide with two."""
    return hashlib.sha256(json.dumps(list(lines), ensure_ascii=False).encode()).hexdigest()


def data_hash(split: Split) -> str:
    """Hash candidates, training windows and both sets of targets; titles and images do not enter."""
    digest = hashlib.sha256(hash_lines(split.items.ids).encode())
    digest.update(str(split.sequence_length).encode())
    digest.update(split.windows.items.tobytes() + split.windows.offsets.tobytes())
    for cases in (split.validation, split.test):
        digest.update(_cases_bytes(cases))
    return digest.hexdigest()


def _cases_bytes(cases: RankingCases) -> bytes:
    return cases.histories.items.tobytes() + cases.histories.offsets.tobytes() + cases.targets.tobytes()


def content_hashes(items: Items) -> dict[str, str]:
    """Hash titles and images of the candidates, in their order."""
    hashes: dict[str, str] = {}
    if items.titles is not None:
        hashes["text"] = hash_lines(items.titles)
    if items.images is not None:
        hashes["image"] = items.images.fingerprint()
    return hashes
