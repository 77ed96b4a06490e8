"""One storage for equal tensors of several runs: runs on one tower then hold it once, whatever their strategies are.

An adapter bank shares a tower among adapter folders of peft (`adapter_bank.py`). Here runs of all strategies share what
none of them trained: a tower that peft adapted, one that feeds a side network, one that computes what a store held.
"""

from collections.abc import Iterable
from hashlib import sha256

import torch
from torch import Tensor, nn


class SharedTensors:
    """The tensors that were seen, by their contents. Nobody may train a module that shares them."""

    def __init__(self) -> None:
        self._known: dict[tuple[torch.dtype, torch.Size, torch.device, bytes], Tensor] = {}

    def share(self, modules: Iterable[nn.Module]) -> None:
        """Put the tensors that are known already in the place of equal ones of the modules; learn the others."""
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                # In an ordinary tensor's place, one of inference mode fails only when it is next sliced.
                assert not tensor.is_inference(), f"{type(module).__name__} was built in inference mode"
                tensor.data = self._known.setdefault(_contents(tensor), tensor.data)


def _contents(tensor: Tensor) -> tuple[torch.dtype, torch.Size, torch.device, bytes]:
    data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return tensor.dtype, tensor.shape, tensor.device, sha256(data.data).digest()
