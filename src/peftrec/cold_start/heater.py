"""Heater (Zhu et al., SIGIR 2020): factors from content, so that what is cold is scored like what is warm.

For the side that may be cold, with content x and pretrained factors q (zero where cold):

    w = tanh(W_g x + b_g)                 gates, one an expert; a tanh and no softmax, as in the published code
    E_k = tanh(W_k x + b_k)               experts, of the factors' rank
    q' = tanh(sum_k w_k E_k)              what content says the factors are
    z = (1 - d) q + d q'                  d is 1 for a random part of the pairs in training, and where q is zero later
    v = W_2 tanh(BN(W_1 z + b_1)) + b_2   the joint tower

The other side, p, enters its own joint tower as it is. With u from it, the loss of a batch B of pairs with r in {0, 1}
is

    mean (u . v - r)^2 + alpha sum_{pairs of B} |q' - q|^2 + lambda sum |W|^2 + |b|^2

The constraint counts every pair, replaced or not. Which side is called user is of no account, so nothing here knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

INITIAL_DEVIATION = 0.01  # of weights, cut at two deviations; as in the published code
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.1  # the published code's batch normalisation


class ExpertTransformation(nn.Module):
    """Content to factors: a mixture of experts, or with `num_experts=1` one layer, tanh(W x + b), without a gate."""

    def __init__(self, *, num_features: int, rank: int, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.experts = nn.Linear(num_features, num_experts * rank)
        self.gates = nn.Linear(num_features, num_experts) if num_experts > 1 else None
        _initialise(self)

    def forward(self, content: Float[Tensor, "entity feature"]) -> Float[Tensor, "entity rank"]:
        experts = torch.tanh(_linear(self.experts, content))
        if self.gates is None:
            return experts
        gates = torch.tanh(_linear(self.gates, content))
        return torch.tanh(torch.bmm(gates[:, None], experts.unflatten(1, (self.num_experts, -1)))[:, 0])


class JointTower(nn.Module):
    """What both pretrained and transformed factors pass."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(rank, rank)
        self.norm = nn.BatchNorm1d(rank, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)
        self.output = nn.Linear(rank, rank)
        _initialise(self)

    def forward(self, factors: Float[Tensor, "pair rank"]) -> Float[Tensor, "pair rank"]:
        return self.output(torch.tanh(self.norm(self.hidden(factors))))


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """What a batch of pairs gives."""

    scores: Float[Tensor, " pair"]
    distance: Float[Tensor, ""]
    """Sum over the pairs of the squared distance between transformed and pretrained factors."""


class Heater(nn.Module):
    """Pretrained factors of both sides, content of one, and what is trained on them."""

    cold_factors: Tensor
    warm_factors: Tensor
    content: Tensor

    def __init__(
        self,
        *,
        cold_factors: Float[Tensor, "cold rank"],
        warm_factors: Float[Tensor, "warm rank"],
        content: Float[Tensor, "cold feature"],
        num_experts: int,
    ) -> None:
        super().__init__()
        for name, rows in (("cold_factors", cold_factors), ("warm_factors", warm_factors), ("content", content)):
            self.register_buffer(name, rows, persistent=False)
        rank = cold_factors.shape[1]
        self.transformation = ExpertTransformation(num_features=content.shape[1], rank=rank, num_experts=num_experts)
        self.cold_tower = JointTower(rank)
        self.warm_tower = JointTower(rank)

    def forward(
        self, cold: Int[Tensor, " pair"], warm: Int[Tensor, " pair"], is_replaced: Bool[Tensor, " pair"]
    ) -> PairScores:
        """Score pairs in training. Content is transformed once for each distinct id of the batch; batch statistics
        are those of the pairs, as published."""
        distinct, places = cold.unique(return_inverse=True)
        transformed = self.transform(distinct)
        pretrained = self.cold_factors[distinct]
        pairs_of = torch.bincount(places, minlength=len(distinct)).to(transformed.dtype)
        distance = (pairs_of * (transformed - pretrained).square().sum(dim=1)).sum()
        # Look-ups of embeddings: the backward pass of a gather is slower, and not deterministic everywhere.
        rows = torch.where(is_replaced, places, places + len(distinct))
        mixed = nn.functional.embedding(rows, torch.cat([transformed, pretrained]))
        cold_vectors, warm_vectors = self.cold_tower(mixed), self.warm_tower(self.warm_factors[warm])
        return PairScores(scores=(cold_vectors * warm_vectors).sum(dim=1), distance=distance)

    def transform(self, cold: Int[Tensor, " entity"]) -> Float[Tensor, "entity rank"]:
        """Return what content says the factors are."""
        return self.transformation(self.content.index_select(0, cold))

    def cold_vectors(self, cold: Int[Tensor, " entity"]) -> Float[Tensor, "entity rank"]:
        """Return joint vectors of the side with content; whoever has no pretrained factors gets transformed ones."""
        factors = self.cold_factors[cold]
        is_unknown = ~factors.any(dim=1, keepdim=True)
        return self.cold_tower(torch.where(is_unknown, self.transform(cold), factors))

    def warm_vectors(self, warm: Int[Tensor, " entity"]) -> Float[Tensor, "entity rank"]:
        """Return joint vectors of the other side."""
        return self.warm_tower(self.warm_factors[warm])

    def penalised(self) -> Iterator[nn.Parameter]:
        """Yield weights and biases of linear layers: the norms are not in the penalty."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                yield from module.parameters()


def _linear(layer: nn.Linear, rows: Float[Tensor, "entity feature"]) -> Float[Tensor, "entity output"]:
    """Apply a linear layer; unlike its own forward, `mm` also takes sparse rows."""
    return torch.mm(rows, layer.weight.T) + layer.bias


def _initialise(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            cut = 2 * INITIAL_DEVIATION
            nn.init.trunc_normal_(layer.weight, std=INITIAL_DEVIATION, a=-cut, b=cut)
            nn.init.zeros_(layer.bias)
