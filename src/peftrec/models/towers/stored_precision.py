"""How states of frozen towers are kept: as float32, float16 or bfloat16, or in eight bits with scales of their own.

bfloat16 has the range of float32, which some encoders' states need (above 65,504 float16 has no number), and three
digits. NumPy has no such type, so its bits are kept as whole numbers of 16.

A row of `int8` holds one state of one item: a whole number from -127 to 127 for each value and behind them, as bytes of
the same row, a float32 scale for each block of 64 values, its largest magnitude divided by 127:

    value = scale number          |value - kept| <= scale / 2

Blocks keep a few large values, which many encoders have, from taking the digits of all others. A row is read, sent and
gathered as bytes and becomes numbers where it is used. Of 768 values it takes 816 bytes; float16 takes 1,536.

Those large values stand in the same few places of every item. With `int8_channels` each of a state's values has a scale
for itself, its largest magnitude among all items (or tokens) divided by 127, and a row is the numbers alone.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int8, Shaped
from torch import Tensor

StoredPrecision = Literal["float32", "float16", "bfloat16", "int8", "int8_channels"]

Scales = Float[Tensor, "*state hidden"]
"""Of `int8_channels`, a scale for each value of a state."""

BLOCK = 64
"""Values that share a scale."""
_LARGEST = 127
_SCALE_BYTES = 4


def element_type(precision: StoredPrecision) -> str:
    """Return the name, torch's and NumPy's, of the numbers that files and batches of states hold."""
    return {"bfloat16": "int16", "int8_channels": "int8"}.get(precision, precision)


def row_width(width: int, precision: StoredPrecision) -> int:
    """Return how many elements of the precision's type a state of so many values takes."""
    return width + _SCALE_BYTES * math.ceil(width / BLOCK) if precision == "int8" else width


def shared_bytes(num_states: int, width: int, precision: StoredPrecision) -> int:
    """Return how many bytes so many states take beside their rows."""
    return _SCALE_BYTES * num_states * width if precision == "int8_channels" else 0


def channel_scales(largest: Float[Tensor, "state hidden"]) -> Float[Tensor, "state hidden"]:
    """Return the scales of values whose largest magnitudes are these."""
    return largest / _LARGEST


def keep(
    states: Float[Tensor, "*batch hidden"], precision: StoredPrecision, scales: Scales | None = None
) -> Shaped[Tensor, "*batch kept"]:
    """Return states as they are kept. What is not finite, or no float16 number, makes its row not finite again; values
    of `int8_channels` are finite, and none larger than those that their scales are of."""
    if precision == "int8":
        return _pack(states)
    if precision == "int8_channels":
        assert scales is not None, "a scale of a channel is known when all states are"
        return (states / scales.masked_fill(scales == 0, 1.0)).round().to(torch.int8)
    kept = states.to(getattr(torch, precision))
    return kept.contiguous().view(torch.int16) if precision == "bfloat16" else kept


def restore(
    kept: Shaped[Tensor, "*batch kept"], dtype: torch.dtype = torch.float32, scales: Scales | None = None
) -> Float[Tensor, "*batch hidden"]:
    """Return kept states as numbers of a floating-point type; each state of a batch lies in one piece, as it does in
    what is gathered from a store. `scales` are those of a store that has them."""
    if kept.dtype == torch.int16:
        return kept.view(torch.bfloat16).to(dtype)
    if kept.dtype != torch.int8:
        return kept.to(dtype)
    if scales is not None:
        return (kept * scales).to(dtype)
    return _unpack(kept.transpose(0, -2)).to(dtype).contiguous().transpose(0, -2)


def _pack(states: Float[Tensor, "*batch hidden"]) -> Int8[Tensor, "*batch kept"]:
    blocks = _in_blocks(states.float())
    scales = blocks.abs().amax(dim=-1) / _LARGEST
    numbers = (blocks / scales.masked_fill(scales == 0, 1.0).unsqueeze(-1)).round()
    # A block that is not finite has a scale that is not; its numbers mean nothing, but must be some.
    numbers = numbers.nan_to_num(0.0).clamp(-_LARGEST, _LARGEST).to(torch.int8)
    return torch.cat([numbers.flatten(-2)[..., : states.shape[-1]], scales.contiguous().view(torch.int8)], dim=-1)


def _unpack(kept: Int8[Tensor, "*batch kept"]) -> Float[Tensor, "*batch hidden"]:
    num_blocks = math.ceil(kept.shape[-1] / (BLOCK + _SCALE_BYTES))
    width = kept.shape[-1] - _SCALE_BYTES * num_blocks
    scales = kept[..., width:].clone(memory_format=torch.contiguous_format).view(torch.float32)
    return (_in_blocks(kept[..., :width].float()) * scales.unsqueeze(-1)).flatten(-2)[..., :width]


def _in_blocks(values: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch block value"]:
    """Cut rows into blocks; the last one is filled up with zeros."""
    return torch.nn.functional.pad(values, (0, -values.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
