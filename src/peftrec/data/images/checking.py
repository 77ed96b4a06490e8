"""The check of all images before training; what it found is remembered while their files stay as they are."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL
from pydantic import TypeAdapter

from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.stored import StoredImages
from peftrec.errors import DataError
from peftrec.files import write_atomically

_FAULTS = TypeAdapter(dict[str, str])
"""Name of an image to what is wrong with it, as a check is remembered."""

REMEMBERED_FROM = 1000
"""Images from which on a check is remembered; fewer take no second."""


def corrupt_images(images: StoredImages, items: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with the images of `items`, by item; no epoch can end in the middle for a truncated file.

    A later run with the same files (path, size, time of change), items and Pillow reads the answer from the user's
    cache folder (`XDG_CACHE_HOME`, else `~/.cache`). Where that cannot be written, or there is none, the next run
    checks again.
    """
    folder = cache_folder()
    if len(items) < REMEMBERED_FROM or folder is None:
        return find_corrupt(images, items)
    memory = folder / f"{_state(images.select(items))}.json"
    try:
        by_name = _FAULTS.validate_json(memory.read_bytes())
    except (OSError, ValueError):
        found = find_corrupt(images, items)
        _remember(memory, {str(images.names[item]): message for item, message in found.items()})
        return found
    return {item: by_name[name] for item in items if (name := images.names[item]) in by_name}


def find_corrupt(images: StoredImages, items: Sequence[int]) -> dict[int, str]:
    """Decode the images of `items` completely; Pillow decodes outside the interpreter lock, so in threads."""

    def fault(item: int) -> str | None:
        try:
            images.load(item)
        except CorruptImageError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        faults = zip(items, pool.map(fault, items), strict=True)
        return {item: message for item, message in faults if message is not None}


def cache_folder() -> Path | None:
    """Return where checks are remembered; null where the user has no home folder, as many in containers."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache) / "peftrec" / "checked_images"


def _state(images: StoredImages) -> str:
    """Hash everything that the answer depends on, without reading an image."""
    place = images.place()
    how = (PIL.__version__, images.decoding.max_pixels)
    digest = hashlib.sha256(repr((how, place, str(Path(place).resolve()), images.names)).encode())
    for file in images.files():
        try:
            status = file.stat()
        except OSError as error:
            raise DataError(f"{file}: the image cannot be read ({error.strerror})") from error
        digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


def _remember(memory: Path, faults: dict[str, str]) -> None:
    try:
        write_atomically(memory, json.dumps(faults).encode())
    except OSError:
        return
