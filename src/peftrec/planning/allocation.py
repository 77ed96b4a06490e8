"""Bytes alive at every moment of a step, from the lives of its tensors."""

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from peftrec.training.parameter_groups import storage_key

_SUM = torch.ops.aten.sum.dim_IntList
_COUNTS = torch.int64
"""What booleans are summed as."""


class LiveBytes(TorchDispatchMode):
    """Follows storages from the operation that makes them to their end; an allocator's peak without its fragmentation
    and without what kernels take for themselves. But a CPU sums booleans by making numbers of all of them first,
    eight times their size, and in a loss over users, steps and items that can be the most that a step holds."""

    def __init__(self, *, block: int = 1, on_cuda: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.block = block
        """Sizes are rounded up to multiples of this; CUDA's allocator has 512."""
        self.on_cuda = on_cuda
        self.live = 0
        self.peak = 0
        self._held: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def hold(self, tensors: Iterable[Any]) -> None:
        """Count the storages of tensors, each once."""
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                size = -(-tensor.untyped_storage().nbytes() // self.block) * self.block
                self._follow(tensor, size)

    def leave_out(self, tensors: Iterable[Tensor]) -> None:
        """Never count the storages of tensors, nor what is a view of them."""
        for tensor in tensors:
            self._follow(tensor, 0)

    def _follow(self, tensor: Tensor, size: int) -> None:
        key = storage_key(tensor)
        if key in self._held:
            return
        # torch keeps a storage's Python object as long as the storage itself.
        self._held[key] = weakref.ref(tensor.untyped_storage(), partial(self._release, key, size))
        self.live += size
        self.peak = max(self.peak, self.live)

    def _release(self, key: int, size: int, _: Any) -> None:
        del self._held[key]
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.hold(tree_leaves(made))
        if func is _SUM and args[0].dtype == torch.bool and not self.on_cuda:
            self.peak = max(self.peak, self.live + args[0].numel() * _COUNTS.itemsize)
        return made
