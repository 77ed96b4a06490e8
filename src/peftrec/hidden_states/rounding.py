"""What the precision that states are kept in takes from them, measured on every state while a store is built."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from peftrec.models.towers.stored_precision import Scales, restore

Sums = Mapping[str, npt.NDArray[np.float64]]
"""By tower, `[state, 2]`: the sum of squared errors, and of squared values."""

_DIGITS = 3
"""That mean something: sums of parts differ in their last bits."""


def squared_sums(
    states: Float[Tensor, "row state hidden"], kept: Shaped[Tensor, "row state kept"], scales: Scales | None = None
) -> Float[Tensor, "state 2"]:
    """Return the sums of a chunk."""
    exact = states.float()
    error = restore(kept, scales=scales) - exact
    return torch.stack([each.double().square().sum(dim=(0, 2)) for each in (error, exact)], dim=1)


def added(one: Sums, other: Sums) -> dict[str, npt.NDArray[np.float64]]:
    """Return the sums of two parts, of which each may be empty."""
    return {name: np.sum([part[name] for part in (one, other) if name in part], axis=0) for name in {**one, **other}}


def relative_error(sums: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return, a state, the root of the mean squared error over that of the mean square."""
    shares = [float(np.sqrt(error / total)) if total else 0.0 for error, total in sums]
    return tuple(float(f"{share:.{_DIGITS}g}") for share in shares)
