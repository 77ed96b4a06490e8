"""int8 with a scale for each value of a state: a scale is known when all states are, so that a build keeps them as
float32 first, and rounds them at its end. That is done again from the start where it was cut off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from peftrec.hidden_states.arrays import ArrayRows, write_array
from peftrec.hidden_states.key import SCALES_DTYPE, scales_of
from peftrec.hidden_states.paths import array_path, exact_path
from peftrec.hidden_states.rounding import squared_sums
from peftrec.models.towers.stored_precision import channel_scales, keep

EXACT_DTYPE: Final = "float32"
_PIECE_BYTES = 2**24


def round_by_channel(folder: Path, tower: str) -> npt.NDArray[np.float64]:
    """Round a tower's states to the array that stands ready for them, write their scales, and return the sums of what
    that takes (see peftrec.hidden_states.rounding)."""
    exact = ArrayRows.for_reading(exact_path(folder, tower))
    kept = ArrayRows.for_writing(array_path(folder, tower))
    scales = channel_scales(_largest(exact))
    write_array(array_path(folder, scales_of(tower)), scales.unsqueeze(0).numpy(), SCALES_DTYPE)
    sums = np.zeros((len(scales), 2))
    for start, states in _pieces(exact):
        numbers = keep(states, "int8_channels", scales)
        kept.write(np.arange(start, start + len(states)), numbers.numpy())
        sums += squared_sums(states, numbers, scales).numpy()
    kept.flush()
    return sums


def _largest(rows: ArrayRows) -> Float32[Tensor, "state hidden"]:
    _, num_states, width = rows.header.shape
    largest = torch.zeros(num_states, width)
    for _, states in _pieces(rows):
        largest = torch.maximum(largest, states.abs().amax(dim=0))
    return largest


def _pieces(rows: ArrayRows) -> Iterator[tuple[int, Float[Tensor, "row state hidden"]]]:
    """Read an array piece by piece, each with the place of its first row."""
    num_rows, *shape = rows.header.shape
    step = max(1, _PIECE_BYTES // rows.header.row_bytes)
    for start in range(0, num_rows, step):
        states = np.empty((min(step, num_rows - start), *shape), dtype=EXACT_DTYPE)
        rows.read_spans_into(states, np.array([start]), np.array([len(states)]))
        yield start, torch.from_numpy(states)
