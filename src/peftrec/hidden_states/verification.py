"""Is a store what it was when it was built? A sample at every opening, everything on demand."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from peftrec.hidden_states.arrays import read_header
from peftrec.hidden_states.checksums import damaged_blocks, num_blocks
from peftrec.hidden_states.key import StoreKey, scales_of
from peftrec.hidden_states.manifest import MANIFEST, ArrayFile, Manifest, read_manifest, remedy
from peftrec.hidden_states.paths import array_path

SAMPLE_BLOCKS = 16
"""Blocks of an array that opening reads: all of a file up to 64 MiB, and under a second of any."""

_RANGES_SHOWN = 3

Extent = Literal["sizes", "sample", "everything"]
"""How much of the arrays is read."""


def find_problems(folder: Path, *, extent: Extent) -> Iterator[str]:
    """Yield what is wrong with a store, a message a file, each with the remedy.

    Raises StoreError where there is no manifest that can be read.
    """
    manifest = read_manifest(folder)
    dtypes = manifest.key.arrays()
    yield from manifest_problems(folder, manifest)
    for name in (name for name in dtypes if name in manifest.arrays):
        yield from array_problems(array_path(folder, name), manifest.arrays[name], dtypes[name], extent)


def manifest_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield where the manifest contradicts itself or was changed."""
    file = folder / MANIFEST
    if file.read_bytes() != manifest.to_bytes():
        yield f"{file}: checksum differs, the file was changed or is damaged; {remedy(folder)}"
    elif set(manifest.arrays) != set(manifest.key.arrays()):
        yield f"{file}: lists arrays {sorted(manifest.arrays)}, not {sorted(manifest.key.arrays())}; {remedy(folder)}"
    else:
        for name, array in manifest.arrays.items():
            if not _is_described(name, array, manifest.key):
                yield (
                    f"{file}: {name} of shape {array.shape} with {len(array.crc32)} checksums is not what the key "
                    f"describes; {remedy(folder)}"
                )


def _is_described(name: str, array: ArrayFile, key: StoreKey) -> bool:
    """Say whether an array has the items and states of its key, and checksums of all its bytes."""
    if array.block_bytes < 1 or len(array.crc32) != num_blocks(array.bytes, array.block_bytes):
        return False
    rows, states, width = array.shape
    scaled = {scales_of(tower): len(of.states) for tower, of in key.towers.items()}
    if name in scaled:
        return (rows, states) == (1, scaled[name]) and width > 0
    if name not in key.towers:
        return array.shape == (key.num_items, 1, 1)
    is_row_an_item = key.form == "pooled"
    has_rows = rows == key.num_items if is_row_an_item else rows >= key.num_items  # an item has a token at least
    return has_rows and states == len(key.towers[name].states) and width > 0


def array_problems(path: Path, expected: ArrayFile, dtype: str, extent: Extent) -> Iterator[str]:
    """Yield what is wrong with an array."""
    ending = f"; {remedy(path.parent)}"
    if not path.is_file():
        yield f"{path}: missing{ending}"
        return
    try:
        yield from _content_problems(path, expected, dtype, extent)
    except OSError as error:
        yield f"{path}: cannot be read ({error.strerror or error}){ending}"


def _content_problems(path: Path, expected: ArrayFile, dtype: str, extent: Extent) -> Iterator[str]:
    ending = f"; {remedy(path.parent)}"
    found = path.stat().st_size
    if found != expected.bytes:
        yield f"{path}: truncated, {found:,} of {expected.bytes:,} bytes{ending}"
        return
    blocks = blocks_to_read(len(expected.crc32), extent)
    damaged = damaged_blocks(path, expected.crc32, blocks, block_bytes=expected.block_bytes)
    if damaged:
        yield f"{path}: checksum differs in {_ranges(damaged, expected)}; the file is damaged{ending}"
        return
    try:
        header = read_header(path)
    except ValueError as error:
        yield f"{path}: no .npy array ({str(error).splitlines()[0]}){ending}"  # NumPy's further lines give advice
        return
    if header.shape != expected.shape or header.dtype != np.dtype(dtype):
        yield f"{path}: holds {header.dtype}{header.shape}, not {dtype}{expected.shape}{ending}"
    elif header.file_bytes != found:
        yield f"{path}: {header.dtype}{header.shape} takes {header.file_bytes:,} bytes, and it has {found:,}{ending}"


def blocks_to_read(count: int, extent: Extent) -> Sequence[int]:
    """Return which blocks to read: for a sample the first, the last and others by chance, so that openings differ."""
    if extent == "sizes":
        return ()
    if extent == "everything" or count <= SAMPLE_BLOCKS:
        return range(count)
    between = np.random.default_rng().choice(np.arange(1, count - 1), SAMPLE_BLOCKS - 2, replace=False)
    return [0, *sorted(between.tolist()), count - 1]


def _ranges(damaged: list[int], array: ArrayFile) -> str:
    starts = [block * array.block_bytes for block in damaged[:_RANGES_SHOWN]]
    shown = ", ".join(f"{start:,} to {min(start + array.block_bytes, array.bytes) - 1:,}" for start in starts)
    others = len(damaged) - len(starts)
    return f"bytes {shown}{f' and {others} other blocks' if others else ''}"
