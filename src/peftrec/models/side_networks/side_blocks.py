"""Linear layers of a side block: dense, low-rank or PHM.

    bottleneck   W                                 dense, as published
    low_rank     W = L R                           L [out, r], R [r, in]
    phm          W = sum_i A_i kron B_i, i = 1..n  A_i [n, n], B_i [out / n, in / n]

Both are baselines of Compacter (Mahabadi et al., NeurIPS 2021, arXiv:2106.04647), its low-rank and its PHM adapters;
phm is the parameterised hypercomplex multiplication of Zhang et al. (ICLR 2021, arXiv:2102.08597). Every matrix has A_i
of its own, as in both papers' layers; Compacter proper shares them between layers and factorises B_i. IISAN's published
code declares flags for it (n = 8, the default here) that none of its code reads.
"""

from collections.abc import Callable
from functools import partial
from math import gcd
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import Block, BlockOptions

_RANK = 8  # at the published bottleneck of 64, as many parameters as phm with n = 8 at any width
_PHM_DIVISION = 8  # hypercomplex_division of the published code


class Dense(nn.Linear):
    """A matrix of its own."""

    is_multiplied_whole: ClassVar[bool] = True
    """Whether states are multiplied by `weight` itself, so that the hand-written recurrences can do it."""

    def start(self, std: float) -> None:
        """Draw the matrix from N(0, std^2) and clear the bias."""
        nn.init.normal_(self.weight, std=std)
        nn.init.zeros_(self.bias)


class LowRank(nn.Module):
    """A product of two thin matrices, applied one after the other: r (in + out) operations an item, not in x out."""

    is_multiplied_whole: ClassVar[bool] = False

    def __init__(self, inputs: int, outputs: int, *, rank: int) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.empty(outputs, rank))
        self.right = nn.Parameter(torch.empty(rank, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    @property
    def weight(self) -> Float[Tensor, "out hidden"]:
        """Return the product. (Compacter's code multiplies element by element, which is the same at rank 1 only.)"""
        return self.left @ self.right

    def start(self, std: float) -> None:
        """Draw the factors so that the product has entries of the given standard deviation, and clear the bias."""
        _start_factors(self.left, self.right, num_terms=self.left.shape[1], std=std)
        nn.init.zeros_(self.bias)

    def forward(self, states: Float[Tensor, "*item hidden"]) -> Float[Tensor, "*item out"]:
        return nn.functional.linear(nn.functional.linear(states, self.right), self.left, self.bias)


class PHM(nn.Module):
    """A sum of n Kronecker products: about one n-th of the parameters of the dense matrix.

    The matrix is formed once a step, whatever the number of items: as sums go, applying the products to states would
    cost what the whole matrix does.
    """

    is_multiplied_whole: ClassVar[bool] = True

    def __init__(self, inputs: int, outputs: int, *, division: int) -> None:
        """Raise SettingsError unless the division divides both sides of the matrix."""
        super().__init__()
        if inputs % division or outputs % division:
            raise SettingsError(
                f"strategy.phm_division: {division} does not divide both {min(inputs, outputs)} and "
                f"{max(inputs, outputs)}, a tower's width and a block's bottleneck; take a divisor of "
                f"{gcd(inputs, outputs)}, or change the bottleneck"
            )
        self.rules = nn.Parameter(torch.empty(division, division, division))
        self.factors = nn.Parameter(torch.empty(division, outputs // division, inputs // division))
        self.bias = nn.Parameter(torch.empty(outputs))

    @property
    def weight(self) -> Float[Tensor, "out hidden"]:
        """Return the sum of the Kronecker products of `rules` (A) and `factors` (B)."""
        blocks = torch.einsum("nij,nkl->ikjl", self.rules, self.factors)
        return blocks.reshape(self.bias.shape[0], -1)

    def start(self, std: float) -> None:
        """Draw the factors so that the sum has entries of the given standard deviation, and clear the bias.

        Not the published phm_init_range: B of 1e-4 under A of 0.01 (Compacter's code) would be weights of 3e-6.
        """
        _start_factors(self.rules, self.factors, num_terms=self.rules.shape[0], std=std)
        nn.init.zeros_(self.bias)

    def forward(self, states: Float[Tensor, "*item hidden"]) -> Float[Tensor, "*item out"]:
        return nn.functional.linear(states, self.weight, self.bias)


BlockLayer = Dense | LowRank | PHM
LayerBuilder = Callable[[int, int], BlockLayer]
"""Builds a layer from its number of inputs and outputs."""


def layer_builder(options: BlockOptions) -> LayerBuilder:
    """Return what builds a block's layers."""
    builders: dict[Block, LayerBuilder] = {
        "bottleneck": Dense,
        "low_rank": partial(LowRank, rank=options.rank or _RANK),
        "phm": partial(PHM, division=options.phm_division or _PHM_DIVISION),
    }
    return builders[options.block]


def _start_factors(first: Tensor, second: Tensor, *, num_terms: int, std: float) -> None:
    """Draw two factors alike, so that a sum of `num_terms` products of their entries has the standard deviation."""
    for factor in (first, second):
        nn.init.normal_(factor, std=(std / num_terms**0.5) ** 0.5)
