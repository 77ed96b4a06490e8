"""The loss on distinct items against the published one on occurrences, written out in loops."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.objectives.inputs import ObjectiveInputs
from random_batches import DIM, random_batch


def literal(batch: ObjectiveInputs) -> Tensor:
    """Every occurrence in the batch is a column; a user's own items are none, but for the target, once."""
    users, places = batch.sequences.shape
    losses = []
    for u in range(users):
        own = {int(batch.sequences[u, t]) for t in range(places) if batch.mask[u, t]}
        for t in range(places - 1):
            if not batch.mask[u, t]:
                continue
            target = int(batch.sequences[u, t + 1])

            def weight(item: int, u: int = u, t: int = t) -> Tensor:
                return torch.exp(batch.states[u, t] @ batch.embeddings[item] - batch.log_popularity[item])

            total = weight(target)
            for v in range(users):
                for place in range(places):
                    if batch.mask[v, place] and int(batch.sequences[v, place]) not in own:
                        total = total + weight(int(batch.sequences[v, place]))
            losses.append(-torch.log(weight(target) / total))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_occurrence_based_loss_and_its_gradients(seed: int) -> None:
    batch = random_batch(seed)
    learnt = [batch.states, batch.embeddings]
    expected, found = literal(batch), DebiasedCrossEntropyLoss()(batch)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)  # multiplicities are float32
    for one, other in zip(torch.autograd.grad(found, learnt), torch.autograd.grad(expected, learnt), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def most_users_of_an_item(batch: ObjectiveInputs) -> int:
    owned = [batch.sequences[user][batch.mask[user]].unique() for user in range(len(batch.mask))]
    return int(torch.cat(owned).bincount().max())


def test_the_random_batches_hold_what_is_hard() -> None:
    """Repeated targets, items that several users share, padding, and more occurrences than items."""
    batches = [random_batch(seed) for seed in range(6)]
    repeats = [
        batch.sequences[user][batch.mask[user]].unique().numel() < int(batch.mask[user].sum())
        for batch in batches
        for user in range(len(batch.mask))
    ]
    assert any(repeats)
    assert any(most_users_of_an_item(batch) > 1 for batch in batches)
    assert any((~batch.mask).any() for batch in batches)
    assert any(int(batch.mask.sum(1).min()) == 2 for batch in batches)
    assert all(int(batch.mask.sum()) > len(batch.embeddings) for batch in batches)


def by_hand(sequences: list[list[int]], mask: list[list[bool]], logits: list[float], shares: list[float]) -> float:
    """One-dimensional states of one: an item's embedding is its logit."""
    places = torch.tensor(mask)
    return DebiasedCrossEntropyLoss()(
        ObjectiveInputs(
            states=torch.ones(len(sequences), len(sequences[0]) - 1, 1),
            embeddings=torch.tensor(logits)[:, None],
            sequences=torch.tensor(sequences),
            mask=places,
            log_popularity=torch.tensor(shares).log(),
        )
    ).item()


def test_a_user_with_one_valid_position_by_hand() -> None:
    """User 0 has the items 0, 1, user 1 the items 2, 3, 2: one and two positions."""
    logits, shares = [0.0, 1.0, 2.0, 3.0], [0.1, 0.2, 0.3, 0.4]
    w = [math.exp(logit) / share for logit, share in zip(logits, shares, strict=True)]
    losses = [
        -math.log(w[1] / (w[1] + 2 * w[2] + w[3])),  # item 2 occurs twice
        -math.log(w[3] / (w[3] + w[0] + w[1])),
        -math.log(w[2] / (w[2] + w[0] + w[1])),  # the target stands in the window already; it counts once
    ]
    found = by_hand([[0, 0, 1], [2, 3, 2]], [[False, True, True], [True, True, True]], logits, shares)
    assert found == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_without_negatives_there_is_nothing_to_lose() -> None:
    assert by_hand([[0, 1, 2]], [[True] * 3], [0.3, -2.0, 5.0], [0.2, 0.3, 0.5]) == pytest.approx(0.0, abs=1e-6)


def test_the_scale_of_the_popularity_does_not_matter_but_its_shape_does() -> None:
    batch = random_batch(7)
    loss = DebiasedCrossEntropyLoss()
    shifted = replace(batch, log_popularity=batch.log_popularity + math.log(1000))
    torch.testing.assert_close(loss(shifted), loss(batch), rtol=1e-10, atol=1e-12)
    raised = batch.log_popularity.clone()
    raised[0] += 1.0
    assert abs(loss(replace(batch, log_popularity=raised)) - loss(batch)) > 1e-4


def test_popularity_is_an_offset_of_the_logits() -> None:
    """An item's log share subtracted is the same as a logit that much lower everywhere."""
    batch = random_batch(8)
    states = torch.cat([batch.states, torch.ones_like(batch.states[..., :1])], dim=2)
    embeddings = torch.cat([batch.embeddings, -batch.log_popularity[:, None]], dim=1)
    loss = DebiasedCrossEntropyLoss()
    even = replace(batch, states=states, embeddings=embeddings, log_popularity=torch.zeros_like(batch.log_popularity))
    torch.testing.assert_close(loss(even), loss(batch), rtol=1e-10, atol=1e-12)


def test_neither_numbering_nor_the_order_of_users_matters() -> None:
    batch = random_batch(9)
    loss = DebiasedCrossEntropyLoss()
    generator = torch.Generator().manual_seed(0)
    items = torch.randperm(len(batch.embeddings), generator=generator)
    renumbered = replace(
        batch,
        embeddings=batch.embeddings[items],
        log_popularity=batch.log_popularity[items],
        sequences=items.argsort()[batch.sequences],
    )
    torch.testing.assert_close(loss(renumbered), loss(batch))
    users = torch.randperm(len(batch.mask), generator=generator)
    turned = replace(batch, states=batch.states[users], sequences=batch.sequences[users], mask=batch.mask[users])
    torch.testing.assert_close(loss(turned), loss(batch))


def test_padding_has_no_share() -> None:
    batch = random_batch(10)
    padding = ~batch.mask
    assert padding[:, 0].any()
    loss = DebiasedCrossEntropyLoss()
    filled = batch.sequences.masked_fill(padding, 3)
    states = torch.where(padding[:, :-1, None], 50.0, batch.states)
    noisy = loss(replace(batch, sequences=filled, states=states))
    torch.testing.assert_close(noisy, loss(batch), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(loss(batch), batch.states)
    assert not gradient[padding[:, :-1]].any()
    assert gradient[~padding[:, :-1]].abs().amax(dim=-1).all()


def test_an_item_beside_the_batch_changes_nothing() -> None:
    """Rows of `embeddings` that no place points at have multiplicity zero."""
    batch = random_batch(11)
    more = replace(
        batch,
        embeddings=torch.cat([batch.embeddings, torch.full((1, DIM), 9.0, dtype=torch.float64)]),
        log_popularity=torch.cat([batch.log_popularity, torch.zeros(1, dtype=torch.float64)]),
    )
    loss = DebiasedCrossEntropyLoss()
    torch.testing.assert_close(loss(more), loss(batch), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(loss(more), batch.embeddings)
    assert gradient.isfinite().all()


def test_own_items_are_those_of_the_window() -> None:
    """Embeddings of one dimension an item make states the logits: no gradient reaches a column that is rejected."""
    states = torch.zeros(2, 2, 5, dtype=torch.float64, requires_grad=True)
    batch = ObjectiveInputs(
        states=states,
        embeddings=torch.eye(5, dtype=torch.float64),
        sequences=torch.tensor([[0, 2, 1], [3, 3, 0]]),
        mask=torch.tensor([[False, True, True], [True, True, True]]),
        log_popularity=torch.zeros(5, dtype=torch.float64),
        multiplicity=torch.ones(5),
    )
    (gradient,) = torch.autograd.grad(DebiasedCrossEntropyLoss()(batch), states)
    competes = (gradient != 0).tolist()
    assert competes[0][0] == [False] * 5, "padding"
    assert competes[0][1] == [True, True, False, True, True], "1 is the target, 2 its own, 0 stands at padding"
    assert competes[1][0] == [False, True, True, True, True], "3 is the target"
    assert competes[1][1] == [True, True, True, False, True], "0 is the target"
