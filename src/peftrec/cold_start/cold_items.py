"""Embeddings for the cold items of a sequential run, by Heater's transformation of their content.

The items that train are the warm side, with their embeddings q as pretrained factors; the user encoder and its states
s stay as the run left them. With q~ the embeddings centred and divided by the largest distance of each column, so that
a tanh can reach them all, and q' the transformed content (see peftrec.cold_start.heater), training minimises

    mean over training positions of cross-entropy(s . Z, next item) + alpha mean over warm items of |q' - q~|^2

where the softmax runs over all warm items and a random half of the rows of Z is transformed, in each step another
(randomised training). There is no joint tower: warm items keep their embeddings, so that only what is cold changes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass as part
from torch import Tensor, nn

from peftrec.cold_start.heater import ExpertTransformation
from peftrec.config.strict import STRICT
from peftrec.data.loading import padded_sequences
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.restored_run import RestoredRun

_USERS = 1024  # windows whose states are computed at once


@part(frozen=True, kw_only=True, config=STRICT)
class ColdItemsSettings:
    """How content is fitted to a run's embeddings."""

    run: str
    """Folder of a finished run."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Of what is fitted to the run's embeddings."""
    num_experts: int = Field(default=5, ge=1)
    """Experts of the map from content to embeddings; 1 is a single layer without a gate."""
    similarity_weight: float = Field(default=0.1, ge=0)
    """alpha above; here of a mean, where Heater on pairs has a sum over the batch."""
    replaced: float = Field(default=0.5, gt=0, le=1)
    """Share of the warm items that a step sees transformed."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the run's training positions; validation chooses one."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """Of Adam."""
    batch_size: int = Field(default=512, ge=1)
    """Training positions a step."""


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Where the run was trained: user states, and the items that came next."""

    states: Float[Tensor, "position dim"]
    targets: Int[Tensor, " position"]


class ContentToEmbedding(nn.Module):
    """Content to item embeddings: within the box that the warm ones span around their mean, and then through the norm
    that the run's own embeddings pass, where they pass one; it stays as the run left it."""

    centre: Tensor
    reach: Tensor

    def __init__(
        self,
        warm: Float[Tensor, "item dim"],
        *,
        num_features: int,
        num_experts: int,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm
        centre = warm.mean(dim=0)
        self.register_buffer("centre", centre)
        self.register_buffer("reach", (warm - centre).abs().amax(dim=0))
        self.transformation = ExpertTransformation(
            num_features=num_features, rank=warm.shape[1], num_experts=num_experts
        )

    def forward(self, content: Float[Tensor, "item feature"]) -> Float[Tensor, "item dim"]:
        embeddings = self.centre + self.reach * self.transformation(content)
        return embeddings if self.norm is None else self.norm(embeddings)

    def distance(self, transformed: Float[Tensor, "item dim"], warm: Float[Tensor, "item dim"]) -> Float[Tensor, ""]:
        """Return the mean squared distance in units of the reach, which a constant column does not have."""
        reach = self.reach.masked_fill(self.reach == 0, 1.0)
        return ((transformed - warm) / reach).square().sum(dim=1).mean()


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A run's catalogue with embeddings from content where it is cold."""

    catalogue: Float[Tensor, "candidate dim"]
    chosen_epoch: int
    validation: list[float]
    """The run's monitored metric over all validation users, after each epoch."""


@torch.no_grad()
def catalogue_of(run: RestoredRun) -> Float[Tensor, "candidate dim"]:
    """Return the run's own embeddings of all candidates."""
    return run.module.encode_catalogue().float()


@torch.no_grad()
def training_positions(run: RestoredRun, catalogue: Float[Tensor, "candidate dim"]) -> Positions:
    """Return the user state before each target of the training windows, in evaluation mode."""
    windows, length = run.split.windows, run.split.sequence_length + 1
    reads_times = run.settings.user_encoder.reads_times
    states, targets = [], []
    for rows in np.array_split(np.arange(len(windows)), range(_USERS, len(windows), _USERS)):
        read = padded_sequences(windows, rows, length, reads_times=reads_times).to(run.device)
        known = read.mask[:, :-1]
        times = None if read.times is None else read.times[:, :-1]
        every = run.module.recommender.states(catalogue, read.items[:, :-1], known, times)
        states.append(every[known].float())
        targets.append(read.items[:, 1:][known])
    return Positions(states=torch.cat(states), targets=torch.cat(targets))


def complete(run: RestoredRun, vectors: Float[Tensor, "candidate feature"], settings: ColdItemsSettings) -> Completed:
    """Fit the transformation on warm items and give the cold ones its embeddings; validation chooses the epoch."""
    catalogue = catalogue_of(run)
    is_warm = torch.from_numpy(run.split.train_counts > 0).to(run.device)
    numbers_among_warm = torch.cumsum(is_warm, dim=0) - 1
    positions = training_positions(run, catalogue)
    positions = replace(positions, targets=numbers_among_warm[positions.targets])
    torch.manual_seed(settings.seed)
    model = ContentToEmbedding(
        catalogue[is_warm],
        num_features=vectors.shape[1],
        num_experts=settings.num_experts,
        norm=run.module.recommender.item_norm,
    ).to(run.device)
    optimizer = torch.optim.Adam(model.transformation.parameters(), lr=settings.learning_rate)
    best, chosen, validation = catalogue, 0, list[float]()
    for epoch in range(settings.epochs):
        train_epoch(model, optimizer, positions, vectors[is_warm], catalogue[is_warm], settings)
        with torch.no_grad():
            completed = torch.where(is_warm[:, None], catalogue, model(vectors))
        ranked = rank_over(run, run.split.validation, completed)
        score = ranking_metrics(ranked.ranks, ranked.is_unreachable)[run.settings.evaluation.monitor]
        if score > max(validation, default=-1.0):
            best, chosen = completed, epoch
        validation.append(score)
    return Completed(catalogue=best, chosen_epoch=chosen, validation=validation)


def train_epoch(
    model: ContentToEmbedding,
    optimizer: torch.optim.Optimizer,
    positions: Positions,
    vectors: Float[Tensor, "item feature"],
    warm: Float[Tensor, "item dim"],
    settings: ColdItemsSettings,
) -> None:
    """Pass once over the training positions, in a new order."""
    for places in torch.randperm(len(positions.targets), device=warm.device).split(settings.batch_size):
        loss = step_loss(
            model,
            Positions(states=positions.states[places], targets=positions.targets[places]),
            vectors,
            warm,
            settings,
        )
        model.zero_grad()
        loss.backward()
        optimizer.step()


def step_loss(
    model: ContentToEmbedding,
    positions: Positions,
    vectors: Float[Tensor, "item feature"],
    warm: Float[Tensor, "item dim"],
    settings: ColdItemsSettings,
) -> Float[Tensor, ""]:
    """Return cross-entropy over the warm items, some of them transformed, and the constraint over all of them."""
    num_replaced = math.ceil(settings.replaced * len(warm))
    replaced = torch.randperm(len(warm), device=warm.device)[:num_replaced]
    transformed = model(vectors)
    mixed = warm.index_copy(0, replaced, transformed[replaced])
    loss = nn.functional.cross_entropy(positions.states @ mixed.T, positions.targets)
    return loss + settings.similarity_weight * model.distance(transformed, warm)
