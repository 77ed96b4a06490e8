"""Checksums of a file by blocks, so that damage can be placed, and a sample checked where the whole takes too long."""

import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK_BYTES = 4 * 2**20


def num_blocks(num_bytes: int, block_bytes: int) -> int:
    """Return how many blocks cover a file."""
    return -(-num_bytes // block_bytes)


def block_checksums(path: Path, *, block_bytes: int) -> tuple[int, ...]:
    """Return the CRC-32 of every block, the last of which may be shorter."""
    return tuple(_checksums(path, range(num_blocks(path.stat().st_size, block_bytes)), block_bytes))


def damaged_blocks(path: Path, expected: Sequence[int], blocks: Iterable[int], *, block_bytes: int) -> list[int]:
    """Return those of `blocks` whose bytes are not what they were."""
    chosen = list(blocks)
    found = _checksums(path, chosen, block_bytes)
    return [block for block, checksum in zip(chosen, found, strict=True) if checksum != expected[block]]


def _checksums(path: Path, blocks: Iterable[int], block_bytes: int) -> list[int]:
    """Read and sum blocks in threads: both happen outside the interpreter lock."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda block: zlib.crc32(os.pread(handle, block_bytes, block * block_bytes)), blocks))
    finally:
        os.close(handle)
