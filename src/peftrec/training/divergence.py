"""Training that diverged: said once, with where it began, and not as scores that cannot be ranked."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from peftrec.errors import UserError


class DivergedError(UserError):
    """The loss became infinite or no number."""


def check_start(losses: Sequence[float]) -> None:
    """Raise DivergedError where a loss, of any process, is not finite before a step was made: no learning rate did
    that."""
    wrong = next((loss for loss in losses if not math.isfinite(loss)), None)
    if wrong is not None:
        raise DivergedError(
            f"the loss is {wrong:g} before the first step, so no learning rate is at fault: what the model starts with "
            "or makes of the items is too large; set trainer.precision=32-true where it is another, and look at the "
            "towers' weights and at ready features"
        )


def check_losses(
    losses: Float[Tensor, " step"], *, epoch: int, rates: Mapping[str, float], are_several: bool = False
) -> None:
    """Raise DivergedError where a loss of an epoch is not finite, in all of several processes alike; `epoch` counts
    from 0 (the message, from 1), and `rates` are the largest learning rates of the groups that train."""
    is_bad = ~torch.isfinite(losses)
    if are_several:
        counts = is_bad.int()
        distributed.all_reduce(counts)
        is_bad = counts > 0
    if not bool(is_bad.any()):
        return
    step = int(is_bad.int().argmax())
    lower = " ".join(f"learning_rates.{name}={rate / 10:g}" for name, rate in rates.items())
    used = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
    raise DivergedError(
        f"training diverged: the loss was {float(losses[step]):g} in step {step + 1} of epoch {epoch + 1}, at "
        f"learning rates of {used}; lower them ({lower}), let them rise slowly (learning_rates.warmup_steps=100), or "
        "set trainer.precision=32-true where it is another"
    )
