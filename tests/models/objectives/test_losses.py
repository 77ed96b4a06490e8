"""Every loss and its gradients against its equation, written out position by position."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from peftrec.models.objectives.bayesian_personalised_ranking import BayesianPersonalisedRankingLoss
from peftrec.models.objectives.binary_cross_entropy import (
    BinaryCrossEntropyLoss,
    GeneralisedBinaryCrossEntropyLoss,
    beta,
)
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.objectives.full_softmax import FullSoftmaxLoss
from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.refined_cross_entropy import RefinedCrossEntropyLoss
from peftrec.models.objectives.sampled_softmax import SampledSoftmaxLoss
from peftrec.models.objectives.scalable_cross_entropy import ScalableCrossEntropyLoss
from random_batches import random_batch

NUM_ITEMS, DRAWN = 9, 4
SEEDS = range(4)


@dataclass(frozen=True)
class Position:
    """One position of a batch: its state, its target, and what it is scored against."""

    state: Tensor
    target: int
    drawn: list[int]
    """Drawn items that its user did not take."""
    standing: list[int]
    """Items of the batch that its user did not take, as often as they stand."""


def positions(batch: ObjectiveInputs) -> Iterator[Position]:
    users, places = batch.sequences.shape
    everything = [(u, int(batch.sequences[u, t])) for u in range(users) for t in range(places) if batch.mask[u, t]]
    for user in range(users):
        own = {item for other, item in everything if other == user}
        drawn = (
            [] if batch.drawn is None else [int(item) for item in batch.drawn.nonzero()[:, 0] if int(item) not in own]
        )
        standing = [item for _, item in everything if item not in own]
        for step in range(places - 1):
            if batch.mask[user, step]:
                yield Position(batch.states[user, step], int(batch.sequences[user, step + 1]), drawn, standing)


def mean_over(batch: ObjectiveInputs, loss: Callable[[Position], Tensor]) -> Tensor:
    return torch.stack([loss(position) for position in positions(batch)]).mean()


def agree(loss: nn.Module, literal: Callable[[ObjectiveInputs], Tensor], batch: ObjectiveInputs) -> None:
    found, expected = loss(batch), literal(batch)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    wanted = (batch.states, batch.embeddings)
    for one, other in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(expected, wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("max_logit_bytes", [2**20, 200])
def test_full_softmax(seed: int, max_logit_bytes: int) -> None:
    """At once, and in parts that are computed again."""

    def literal(batch: ObjectiveInputs) -> Tensor:
        def of(position: Position) -> Tensor:
            scores = torch.stack([position.state @ item for item in batch.embeddings])
            return -torch.log(scores.exp()[position.target] / scores.exp().sum())

        return mean_over(batch, of)

    batch = random_batch(seed, num_drawn=NUM_ITEMS)
    loss = FullSoftmaxLoss(max_logit_bytes=max_logit_bytes)
    agree(loss, literal, batch)
    listed = replace(batch, positions=batch.valid_positions(), mask=torch.zeros_like(batch.mask))
    assert torch.equal(loss(listed), loss(batch)), "listed positions are looked for again"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("by_popularity", [True, False])
@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("temperature", [None, 0.2])
def test_sampled_softmax(
    seed: int, corrected: bool, by_popularity: bool, with_batch: bool, temperature: float | None
) -> None:
    batch = random_batch(seed, num_drawn=DRAWN)
    places = int(batch.mask.sum())

    def log_expected(item: int) -> float:
        if not corrected:
            return 0.0
        share = math.exp(float(batch.log_popularity[item]))
        expected = DRAWN * (share if by_popularity else 1 / NUM_ITEMS) + (places * share if with_batch else 0.0)
        return math.log(expected)

    def literal(batch: ObjectiveInputs) -> Tensor:
        def of(position: Position) -> Tensor:
            def term(item: int) -> Tensor:
                score = position.state @ batch.embeddings[item]
                if temperature is not None:
                    score = score / position.state.norm() / batch.embeddings[item].norm() / temperature
                return torch.exp(score - log_expected(item))

            negatives = position.drawn + (position.standing if with_batch else [])
            target = term(position.target)
            return -torch.log(target / (target + sum(term(item) for item in negatives)))

        return mean_over(batch, of)

    loss = SampledSoftmaxLoss(
        num_items=NUM_ITEMS,
        negatives=DRAWN,
        by_popularity=by_popularity,
        with_batch=with_batch,
        corrected=corrected,
        temperature=temperature,
    )
    agree(loss, literal, batch)


def test_with_the_batch_alone_it_is_the_debiased_loss() -> None:
    batch = random_batch(1)
    sampled = SampledSoftmaxLoss(num_items=NUM_ITEMS, negatives=0, with_batch=True)
    agree(sampled, DebiasedCrossEntropyLoss(), batch)


def test_who_was_never_taken_is_expected_by_chance_alone() -> None:
    """The logarithm of its share says 0, which is no share of 1."""
    batch = random_batch(1, num_drawn=NUM_ITEMS)
    untaken = int((~torch.isin(torch.arange(len(batch.embeddings)), batch.sequences[batch.mask])).nonzero()[0, 0])
    shares = batch.log_popularity.clone()
    shares[untaken] = 0.0
    loss = SampledSoftmaxLoss(num_items=NUM_ITEMS, negatives=NUM_ITEMS, with_batch=True)
    assert loss._log_expected(replace(batch, log_popularity=shares))[untaken] == pytest.approx(0.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("with_batch", [True, False])
def test_generalised_binary_cross_entropy(seed: int, calibration: float, with_batch: bool) -> None:
    """As the paper has it: the target's logit becomes that of its probability to the power beta."""
    share = DRAWN / (NUM_ITEMS - 1)
    power = share * (calibration * (1 - 1 / share) + 1 / share)

    def literal(batch: ObjectiveInputs) -> Tensor:
        def of(position: Position) -> Tensor:
            negatives = position.drawn + (position.standing if with_batch else [])
            score = position.state @ batch.embeddings[position.target]
            logit = -torch.log(torch.sigmoid(score) ** -power - 1)
            total = torch.log(torch.sigmoid(logit))
            for item in negatives:
                total = total + torch.log(1 - torch.sigmoid(position.state @ batch.embeddings[item]))
            return -total / (len(negatives) + 1)

        return mean_over(batch, of)

    found = beta(negatives=DRAWN, num_items=NUM_ITEMS, calibration=calibration)
    assert found == pytest.approx(power)
    loss = GeneralisedBinaryCrossEntropyLoss(with_batch=with_batch, beta=found)
    agree(loss, literal, random_batch(seed, num_drawn=DRAWN))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("with_batch", [True, False])
def test_binary_cross_entropy_is_that_of_one_negative_on_average(seed: int, with_batch: bool) -> None:
    """SASRec's loss of each negative in turn, over all of them."""

    def literal(batch: ObjectiveInputs) -> Tensor:
        def of(position: Position) -> Tensor:
            negatives = position.drawn + (position.standing if with_batch else [])
            target = torch.log(torch.sigmoid(position.state @ batch.embeddings[position.target]))
            each = [torch.log(1 - torch.sigmoid(position.state @ batch.embeddings[item])) for item in negatives]
            return -torch.stack([(target + one) / 2 for one in each]).mean()

        return mean_over(batch, of)

    agree(BinaryCrossEntropyLoss(with_batch=with_batch), literal, random_batch(seed, num_drawn=DRAWN))


def test_gbce_between_its_ends() -> None:
    assert beta(negatives=5, num_items=101, calibration=0.0) == 1.0
    assert beta(negatives=5, num_items=101, calibration=1.0) == pytest.approx(0.05)
    assert beta(negatives=500, num_items=101, calibration=1.0) == 1.0  # all others are drawn


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("with_batch", [True, False])
def test_bayesian_personalised_ranking(seed: int, with_batch: bool) -> None:
    def literal(batch: ObjectiveInputs) -> Tensor:
        def of(position: Position) -> Tensor:
            negatives = position.drawn + (position.standing if with_batch else [])
            above = [
                position.state @ (batch.embeddings[position.target] - batch.embeddings[item]) for item in negatives
            ]
            terms = [torch.log(torch.sigmoid(each)) for each in above]
            return -sum(terms, start=torch.zeros((), dtype=torch.float64)) / max(1, len(negatives))

        return mean_over(batch, of)

    agree(BayesianPersonalisedRankingLoss(with_batch=with_batch), literal, random_batch(seed, num_drawn=DRAWN))


@pytest.mark.parametrize("seed", SEEDS)
def test_refined_cross_entropy(seed: int) -> None:
    def literal(batch: ObjectiveInputs) -> Tensor:
        share = batch.log_popularity.exp()

        def of(position: Position) -> Tensor:
            def log_q(item: int) -> Tensor:
                return torch.log(share[item] / (1 - share[position.target]))

            score = position.state @ batch.embeddings[position.target]
            terms = [torch.exp(position.state @ batch.embeddings[j] - log_q(j)) for j in position.standing]
            total = torch.stack(terms).sum()
            with torch.no_grad():
                chance = torch.exp(score) / (torch.exp(score) + total / len(terms))
            return -(1 - chance) * (score - torch.log(total))

        return mean_over(batch, of)

    agree(RefinedCrossEntropyLoss(), literal, random_batch(seed))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bucket_items", [3, 100])
def test_scalable_cross_entropy(seed: int, bucket_items: int) -> None:
    """Bucket by bucket, with the same directions."""
    batch = random_batch(seed, num_drawn=NUM_ITEMS)

    def literal(batch: ObjectiveInputs) -> Tensor:
        states, valid = batch.states.flatten(0, 1), batch.mask[:, :-1].flatten()
        targets = batch.sequences[:, 1:].flatten()
        number = math.floor(2 * math.sqrt(len(states)))
        torch.manual_seed(seed)
        drawn = torch.randn(number, len(states), dtype=torch.float64)
        losses: dict[int, list[Tensor]] = {}
        for weights in drawn:
            direction = sum((w * x.detach() for w, x, v in zip(weights, states, valid, strict=True) if v)) / 5**0.25
            near = sorted(
                (place for place in range(len(states)) if valid[place]),
                key=lambda place: -float(states[place].detach() @ direction),
            )
            heights = (batch.embeddings.detach() @ direction).tolist()
            items = sorted(range(len(heights)), key=lambda item: -heights[item])
            for place in near[:number]:
                others = [item for item in items[:bucket_items] if item != int(targets[place])]
                scores = torch.stack(
                    [states[place] @ batch.embeddings[item] for item in [int(targets[place]), *others]]
                )
                losses.setdefault(place, []).append(torch.logsumexp(scores, 0) - scores[0])
        return torch.stack([torch.stack(each).max() for each in losses.values()]).mean()

    class Seeded(nn.Module):
        def forward(self, batch: ObjectiveInputs) -> Tensor:
            torch.manual_seed(seed)
            found: Tensor = ScalableCrossEntropyLoss(bucket_items=bucket_items)(batch)
            return found

    agree(Seeded(), literal, batch)


def test_scalable_cross_entropy_over_all_items_is_the_full_softmax_of_who_is_in_a_bucket() -> None:
    batch = random_batch(2, num_users=1, num_drawn=NUM_ITEMS)  # all its positions are in every bucket
    scalable = ScalableCrossEntropyLoss(bucket_items=NUM_ITEMS)(batch)
    torch.testing.assert_close(scalable, FullSoftmaxLoss(max_logit_bytes=2**20)(batch))
