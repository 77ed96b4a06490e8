"""The type that products are computed in."""

import torch
from torch import Tensor


def product_dtype(states: Tensor) -> torch.dtype:
    """Return the type that matrix products take now: autocast's, else that of the states."""
    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
