"""One tower's states of all tokens by item index: in memory, or read from the disk when they are asked for.

Tokens of all items lie behind each other in one array `[token, state, kept]`, without padding; an item is a span of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int, Int64, Shaped
from torch import Tensor

from peftrec.data.batches import TokenBatch
from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk
from peftrec.hidden_states.rows import gather


@dataclass(frozen=True)
class TokensInMemory:
    """States in the memory of the host or of a device, and gathered there. On a device that waits for the host once a
    batch, to learn how many tokens its longest item has."""

    states: Shaped[Tensor, "row state kept"]
    offsets: Int64[Tensor, " candidate_end"]
    """Where each item's tokens begin, and where the last one's end."""

    def to(self, device: torch.device) -> "TokensInMemory":
        """Return the same on a device."""
        return TokensInMemory(self.states.to(device), self.offsets.to(device))

    def gather(self, items: Int[Tensor, " item"]) -> TokenBatch:
        """Return the items' states as they are stored, padded to the most tokens of them."""
        items = items.to(self.states.device)
        starts = self.offsets[items]
        return _padded(self.states, starts, self.offsets[items + 1] - starts)


@dataclass(frozen=True)
class TokensOnDisk:
    """States that are read item by item; nothing stays in this process. StoreError where they cannot be read."""

    array: ArrayRows
    offsets: Int64[Tensor, " candidate_end"]

    def gather(self, items: Int[Tensor, " item"]) -> TokenBatch:
        """Return the items' states as they are stored, padded to the most tokens of them."""
        items = items.cpu()
        starts = self.offsets[items]
        lengths = self.offsets[items + 1] - starts
        _, num_states, width = self.array.header.shape
        found = torch.empty(int(lengths.sum()), num_states, width, dtype=getattr(torch, self.array.header.dtype.name))
        with explaining_disk(self.array.path):
            self.array.read_spans_into(found.numpy(), starts.numpy(), lengths.numpy())
        return _padded(found, lengths.cumsum(0) - lengths, lengths)

    def load(self) -> TokensInMemory:
        """Read everything into the memory of the host, front to back."""
        states = torch.empty(self.array.header.shape, dtype=getattr(torch, self.array.header.dtype.name))
        with explaining_disk(self.array.path):
            self.array.read_all_into(states.numpy())
        return TokensInMemory(states, self.offsets)


def offsets_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each item's tokens begin, and where the last one's end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])


def _padded(
    states: Shaped[Tensor, "row state kept"], starts: Int64[Tensor, " item"], lengths: Int64[Tensor, " item"]
) -> TokenBatch:
    """Gather spans; an item's last token stands in the places of its padding."""
    rows, mask = _rows_of(starts, lengths)
    return TokenBatch(states=gather(states, rows.flatten()).unflatten(0, rows.shape), mask=mask)


def _rows_of(
    starts: Int64[Tensor, " item"], lengths: Int64[Tensor, " item"]
) -> tuple[Int64[Tensor, "item token"], Bool[Tensor, "item token"]]:
    longest = int(lengths.max()) if len(lengths) else 0
    places = torch.arange(longest, device=lengths.device)
    mask = places < lengths.unsqueeze(1)
    return starts.unsqueeze(1) + torch.minimum(places, lengths.unsqueeze(1) - 1), mask
