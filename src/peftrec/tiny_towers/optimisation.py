"""The loop that both towers learn in."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
MAX_GRADIENT_NORM = 1.0


def optimise(
    modules: nn.Module, loss_of: Callable[[Tensor], Tensor], batches: Iterator[Tensor], *, num_steps: int, peak: float
) -> list[float]:
    """Minimise `loss_of(batch)` with a one-cycle learning rate up to `peak`; return the losses."""
    optimizer = torch.optim.AdamW(modules.parameters(), lr=peak, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=num_steps, pct_start=WARMUP_SHARE)
    losses = []
    modules.eval()  # no dropout: towers this small have no width to spare
    for _ in range(num_steps):
        loss = loss_of(next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def endless_batches(count: int, size: int) -> Iterator[Tensor]:
    """Yield indices of `size` distinct items of `count`, pass after pass, each in a new order."""
    while True:
        yield from (batch for batch in torch.randperm(count).split(size) if len(batch) == size)
