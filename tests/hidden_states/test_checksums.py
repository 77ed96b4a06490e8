"""Checksums by blocks are zlib's, and name the block that changed."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from peftrec.hidden_states.checksums import block_checksums, damaged_blocks


@pytest.mark.parametrize("num_bytes", [0, 1, 999, 1000, 1001, 5000])
def test_checksums_are_those_of_zlib(tmp_path: Path, num_bytes: int) -> None:
    content = np.random.default_rng(0).bytes(num_bytes)
    (tmp_path / "file").write_bytes(content)
    expected = tuple(zlib.crc32(content[start : start + 1000]) for start in range(0, num_bytes, 1000))
    assert block_checksums(tmp_path / "file", block_bytes=1000) == expected


@pytest.mark.parametrize("place", [0, 999, 1000, 4321, 4999])
def test_a_changed_byte_damages_its_block_alone(tmp_path: Path, place: int) -> None:
    content = np.random.default_rng(0).bytes(5000)
    (tmp_path / "file").write_bytes(content)
    expected = block_checksums(tmp_path / "file", block_bytes=1000)
    changed = bytearray(content)
    changed[place] ^= 64
    (tmp_path / "file").write_bytes(changed)
    assert damaged_blocks(tmp_path / "file", expected, range(5), block_bytes=1000) == [place // 1000]
    others = [block for block in range(5) if block != place // 1000]
    assert damaged_blocks(tmp_path / "file", expected, others, block_bytes=1000) == []
