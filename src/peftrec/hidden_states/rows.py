"""One tower's states by item index: in memory, or read from the disk when they are asked for."""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from peftrec.hidden_states.arrays import ArrayRows
from peftrec.hidden_states.disk import explaining_disk


@dataclass(frozen=True)
class RowsInMemory:
    """States in the memory of the host or of a device, and gathered there."""

    states: Shaped[Tensor, "candidate state kept"]

    def to(self, device: torch.device) -> "RowsInMemory":
        """Return the same on a device."""
        return RowsInMemory(self.states.to(device))

    def gather(self, items: Int[Tensor, " item"]) -> Shaped[Tensor, "item state kept"]:
        """Return the items' states as they are stored; each state of the batch lies in one piece."""
        return gather(self.states, items.to(self.states.device))


@dataclass(frozen=True)
class RowsOnDisk:
    """States that are read row by row; nothing of them stays in this process. StoreError where they cannot be read."""

    array: ArrayRows

    def gather(self, items: Int[Tensor, " item"]) -> Shaped[Tensor, "item state kept"]:
        """Return the items' states as they are stored; each state of the batch lies in one piece."""
        _, num_states, width = self.array.header.shape
        out = torch.empty(num_states, len(items), width, dtype=getattr(torch, self.array.header.dtype.name))
        with explaining_disk(self.array.path):
            self.array.read_into(out.numpy(), items.cpu().numpy())
        return out.transpose(0, 1)

    def load(self) -> RowsInMemory:
        """Read everything into the memory of the host, front to back."""
        states = torch.empty(self.array.header.shape, dtype=getattr(torch, self.array.header.dtype.name))
        with explaining_disk(self.array.path):
            self.array.read_all_into(states.numpy())
        return RowsInMemory(states)


def gather(states: Shaped[Tensor, "row state kept"], items: Int[Tensor, " item"]) -> Shaped[Tensor, "item state kept"]:
    """Gather rows so that each state lies in one piece: the side network reads one state at a time."""
    by_state = states.transpose(0, 1)
    if states.is_cuda:  # one kernel for all states; torch's for a CPU would copy the whole store first
        return torch.index_select(by_state, 1, items).transpose(0, 1)
    out = states.new_empty(len(by_state), len(items), states.shape[2])
    for state, rows in enumerate(by_state):
        torch.index_select(rows, 0, items, out=out[state])
    return out.transpose(0, 1)
