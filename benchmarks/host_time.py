"""What the host does in a training step of cached IISAN: the least that a step takes on a device that computes faster.

    OMP_NUM_THREADS=1 python benchmarks/host_time.py [--steps 200]

The step of `cached_step.py` with everything that makes work for a processor made small: states of width 64, four users
a batch. What is left is Python, torch's dispatch and kernels of no size, once a step as many as at the paper's shape.
On a GPU every kernel's launch comes on top. Eager and compiled (`trainer.compile`), each in a module of its own, in
turns; with the operators that a step calls, views left out.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from cached_step import DEFAULT_ROOT, NUM_STATES, build_recommender, load_split
from torch.utils._python_dispatch import TorchDispatchMode

from peftrec.data.content import ItemContent
from peftrec.data.loading import TrainingBatches
from peftrec.data.split import Split
from peftrec.hidden_states.rows import RowsInMemory
from peftrec.models.towers.names import FIRST, TowerName

_WIDTH, _NUM_USERS = 64, 4


class SmallStates:
    """Stands in for a store."""

    def __init__(self, num_items: int) -> None:
        shape = (num_items, NUM_STATES, _WIDTH)
        self.rows = {name: RowsInMemory(torch.randn(shape)) for name in FIRST}
        self.scales: dict[TowerName, torch.Tensor] = {}

    def read(self, items: torch.Tensor) -> dict[TowerName, torch.Tensor]:
        """Gather the items' states."""
        return {name: rows.gather(items) for name, rows in self.rows.items()}


class Operators(TorchDispatchMode):
    """Counts the operators that compute something: whose result is no view of what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not function.is_view:
            self.counts[str(function)] += 1
        return function(*args, **(kwargs or {}))


def step_of(split: Split, *, in_bfloat16: bool, is_compiled: bool) -> Callable[[], None]:
    """Return a training step on one small batch."""
    torch.manual_seed(0)
    module = build_recommender(
        SmallStates(len(split.items)), num_items=len(split.items), width=_WIDTH, sequence_length=split.sequence_length
    )
    if is_compiled:
        module.recommender.item_encoder.compile(dynamic=True)
        module.recommender.user_encoder.compile(dynamic=True)
    optimizer = module.configure_optimizers()
    batch = TrainingBatches(split.windows, ItemContent(), length=split.sequence_length + 1)[np.arange(_NUM_USERS)]

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            loss = module.loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    """Print a row for each arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    split = load_split(DEFAULT_ROOT)
    for in_bfloat16 in (False, True):
        steps = {
            name: step_of(split, in_bfloat16=in_bfloat16, is_compiled=name == "compiled")
            for name in ("eager", "compiled")
        }
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for at in range(arguments.steps + 10):
            for name, step in steps.items():
                started = time.perf_counter()
                step()
                if at >= 10:  # compiled and warm
                    taken[name].append(time.perf_counter() - started)
        with Operators() as operators:
            steps["eager"]()
        medians = ", ".join(f"{name} {statistics.median(times) * 1e3:.1f} ms" for name, times in taken.items())
        print(f"{'bf16-mixed' if in_bfloat16 else 'float32'}: {medians}; {operators.counts.total()} operators, eager")


if __name__ == "__main__":
    main()
