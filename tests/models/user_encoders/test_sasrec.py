"""What a causal encoder of left-padded histories must keep, and the published count of parameters."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.user_encoders.sasrec import SASRec

DIM, LENGTH, USERS = 12, 7, 5


def encoder(sequence_length: int = LENGTH, **settings: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SASRec(num_heads=3, **settings).build(dim=DIM, sequence_length=sequence_length).eval()


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random histories with 1 to LENGTH items, padded on the left."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(USERS, LENGTH, DIM, generator=generator)
    mask = torch.arange(LENGTH) >= LENGTH - torch.tensor([1, 3, LENGTH, 5, 2])[:, None]
    return embeddings, mask


@torch.no_grad()
def test_a_later_item_does_not_change_earlier_states() -> None:
    embeddings, mask = inputs()
    model = encoder()
    states = model(embeddings, mask)
    for step in range(LENGTH):
        changed = embeddings.clone()
        changed[:, step] = -changed[:, step]
        others = model(changed, mask)
        torch.testing.assert_close(others[:, :step], states[:, :step], rtol=0, atol=1e-6)
        there = mask[:, step]
        assert ((others[:, step:] - states[:, step:]).abs().amax(dim=2) > 1e-4)[there].all(), (
            "every later state sees it"
        )


@torch.no_grad()
def test_what_stands_at_padding_does_not_matter() -> None:
    embeddings, mask = inputs()
    model = encoder()
    noisy = torch.where(mask[..., None], embeddings, torch.full_like(embeddings, 1e3))
    torch.testing.assert_close(model(noisy, mask)[mask], model(embeddings, mask)[mask], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_user_does_not_depend_on_the_others() -> None:
    embeddings, mask = inputs()
    model = encoder()
    together = model(embeddings, mask)
    for user in range(USERS):
        alone = model(embeddings[user : user + 1], mask[user : user + 1])
        there = mask[user]
        torch.testing.assert_close(alone[0][there], together[user][there], rtol=0, atol=1e-5)


@torch.no_grad()
def test_order_matters() -> None:
    embeddings, _ = inputs()
    mask = torch.ones(USERS, LENGTH, dtype=torch.bool)
    model = encoder(num_blocks=1)  # a second block would see the order through the causal mask
    swapped = embeddings[:, [1, 0, *range(2, LENGTH)]]
    assert (model(swapped, mask)[:, -1] - model(embeddings, mask)[:, -1]).abs().max() > 1e-3


def test_padding_alone_gives_finite_states_and_gradients() -> None:
    embeddings, mask = inputs()
    mask[1] = False
    embeddings.requires_grad_()
    model = encoder(dropout=0.5).train()
    states = model(embeddings, mask)
    assert states.isfinite().all()
    states[mask].sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())
    assert not embeddings.grad[~mask].any(), "padding has no share in the states that are read"


def test_dropout_is_there_in_training_alone() -> None:
    embeddings, mask = inputs()
    model = encoder()
    assert torch.equal(model(embeddings, mask), model(embeddings, mask))
    model.train()
    assert not torch.equal(model(embeddings, mask), model(embeddings, mask))
    still = encoder(dropout=0.0)
    assert torch.equal(still.train()(embeddings, mask), still.eval()(embeddings, mask))


def test_the_published_size() -> None:
    published = SASRec().build(dim=64, sequence_length=10)
    assert sum(parameter.numel() for parameter in published.parameters()) == 100_224


@pytest.mark.parametrize(("dim", "length", "num_blocks", "widening"), [(64, 10, 2, 4), (12, 5, 3, 2)])
def test_size_follows_the_formula(dim: int, length: int, num_blocks: int, widening: int) -> None:
    model = SASRec(num_blocks=num_blocks, widening=widening).build(dim=dim, sequence_length=length)
    attention = 4 * dim * dim + 2 * dim
    feed_forward = 2 * widening * dim * dim + widening * dim + dim + 2 * dim
    expected = length * dim + 2 * dim + num_blocks * (attention + feed_forward)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("settings", [{"num_blocks": 0}, {"dropout": 1.0}, {"num_heads": "2"}, {"depth": 2}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SASRec(**settings)


def test_heads_that_do_not_divide_the_dimension_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"user_encoder\.num_heads: 3 heads do not divide embedding_dim=8"):
        SASRec(num_heads=3).build(dim=8, sequence_length=4)
