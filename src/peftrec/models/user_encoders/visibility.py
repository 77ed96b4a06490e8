"""Which steps a step of a left-padded history may look at."""

import torch
from jaxtyping import Bool
from torch import Tensor


def visible_steps(mask: Bool[Tensor, "user step"]) -> Bool[Tensor, "user step step"]:
    """Return, for each step, the items that stand at it and before it.

    A row that sees nothing (left padding) would be NaN: every place also sees itself, and padding's states are never
    read.
    """
    num_steps = mask.shape[1]
    causal = torch.ones(num_steps, num_steps, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(num_steps, dtype=torch.bool, device=mask.device)
    return (mask[:, None, :] & causal) | itself
