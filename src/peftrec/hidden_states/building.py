"""Building of a hidden-state store: length-sorted batches through the frozen towers, whole or not at all."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.format import open_memmap

from peftrec.data.content import ItemContent
from peftrec.files import partial_name, remove_abandoned, sync_directory, write_atomically
from peftrec.hidden_states.store import (
    MANIFEST,
    ArrayFile,
    HiddenStateStore,
    Manifest,
    StoreKey,
    array_path,
    file_checksum,
    open_store,
)
from peftrec.models.towers import Modality, Towers


def build_store(
    directory: Path, key: StoreKey, towers: Towers, content: ItemContent, *, num_items: int, batch_size: int
) -> HiddenStateStore:
    """Compute the states of all items into `directory / key.folder_name()` and open it.

    Two processes that build the same store do the work twice and the first one wins; the bytes are the same.
    """
    folder = directory / key.folder_name()
    beside = directory / partial_name(folder.name)
    remove_abandoned(directory)
    beside.mkdir(parents=True)
    try:
        started = time.perf_counter()
        arrays = _compute(beside, key, towers, content, num_items=num_items, batch_size=batch_size)
        manifest = Manifest(key=key, arrays=arrays, build_seconds=time.perf_counter() - started)
        write_atomically(beside / MANIFEST, manifest.model_dump_json(indent=2).encode())
        try:
            beside.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        sync_directory(directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return open_store(folder, key)


def _compute(
    folder: Path, key: StoreKey, towers: Towers, content: ItemContent, *, num_items: int, batch_size: int
) -> dict[str, ArrayFile]:
    indices: dict[Modality, tuple[int, ...]] = {name: key.towers[name].states for name in towers.present()}
    shapes = {name: (num_items, len(indices[name]), tower.width) for name, tower in towers.present().items()}
    arrays = {
        name: open_memmap(array_path(folder, name), mode="w+", dtype=key.dtype, shape=shape)
        for name, shape in shapes.items()
    }
    device = next(towers.parameters()).device
    towers.eval()
    for items in _sorted_batches(content, num_items, batch_size):
        with torch.inference_mode():
            states = towers.states(content.batch(items).to(device), indices)
        for name, tensor in states.items():
            arrays[name][items] = tensor.to(getattr(torch, key.dtype)).cpu().numpy()
    files: dict[str, ArrayFile] = {}
    for name, array in arrays.items():
        array.flush()
        path = array_path(folder, name)
        files[name] = ArrayFile(shape=shapes[name], bytes=path.stat().st_size, crc32=file_checksum(path))
    return files


def _sorted_batches(content: ItemContent, num_items: int, batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield item indices so that titles of one length are encoded together and little padding is."""
    order = np.arange(num_items)
    if content.titles is not None:
        order = np.argsort(content.titles.lengths(), kind="stable")
    for start in range(0, num_items, batch_size):
        yield order[start : start + batch_size]
