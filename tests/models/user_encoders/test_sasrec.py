"""What SASRec promises beside the contract of user encoders: its options against plain equations, and its size."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.user_encoders.norms import ScaleNorm
from peftrec.user_encoders.sasrec import SASRec

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
def test_order_matters() -> None:
    embeddings, _ = inputs()
    mask = torch.ones(USERS, LENGTH, dtype=torch.bool)
    model = encoder(num_blocks=1)  # a second block would see the order through the causal mask
    swapped = embeddings[:, [1, 0, *range(2, LENGTH)]]
    assert (model(swapped, mask)[:, -1] - model(embeddings, mask)[:, -1]).abs().max() > 1e-3


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


@pytest.mark.parametrize(
    "settings", [{"num_blocks": 0}, {"dropout": 1.0}, {"num_heads": "2"}, {"depth": 2}, {"norm": "batch"}]
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SASRec(**settings)


def test_heads_that_do_not_divide_the_dimension_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"user_encoder\.num_heads: 3 heads do not divide embedding_dim=8"):
        SASRec(num_heads=3).build(dim=8, sequence_length=4)


SETTINGS: list[dict[str, Any]] = [
    {"norm": norm, "placement": placement} for norm in ("layer", "rms", "scale") for placement in ("post", "pre")
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings.values()))
def test_the_options_follow_the_equations(settings: dict[str, Any]) -> None:
    """The whole encoder once more, a loop over users and heads, from the papers' equations."""
    embeddings, mask = inputs()
    model = encoder(**settings).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    with torch.no_grad():
        states = model(embeddings.double(), mask)
        for user in range(USERS):
            first = int((~mask[user]).sum())
            expected = literal(model, embeddings[user, first:].double(), first, is_pre=settings["placement"] == "pre")
            torch.testing.assert_close(states[user, first:], expected, rtol=1e-9, atol=1e-9)


def literal(model: Any, items: Tensor, first: int, *, is_pre: bool) -> Tensor:
    """Read one user's items, without padding; the positions are the last ones."""
    x = items + model.position_embedding.weight[first:]
    x = x if is_pre else normed(model.layer_norm, x)
    for block in model.blocks:
        for layer, part in ((attended, block.attention), (fed_forward, block.feed_forward)):
            x = x + layer(part, normed(part.layer_norm, x)) if is_pre else normed(part.layer_norm, x + layer(part, x))
    return normed(model.layer_norm, x) if is_pre else x


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    if isinstance(norm, ScaleNorm):
        return norm.gain * x / x.norm(dim=1, keepdim=True)
    if isinstance(norm, nn.RMSNorm):
        return norm.weight * x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    assert isinstance(norm, nn.LayerNorm)
    deviation = x - x.mean(dim=1, keepdim=True)
    return norm.weight * deviation / (deviation.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() + norm.bias


def attended(part: Any, x: Tensor) -> Tensor:
    width = DIM // part.num_heads
    heads = []
    for head in range(part.num_heads):
        rows = slice(head * width, (head + 1) * width)
        query, key, value = (x @ layer.weight[rows].T for layer in (part.query, part.key, part.value))
        weights = (query @ key.T / width**0.5).masked_fill(torch.ones(len(x), len(x)).triu(1) > 0, -torch.inf)
        heads.append(weights.softmax(dim=1) @ value)
    return torch.cat(heads, dim=1) @ part.out.weight.T


def fed_forward(part: Any, x: Tensor) -> Tensor:
    return (x @ part.up.weight.T + part.up.bias).relu() @ part.down.weight.T + part.down.bias


@pytest.mark.parametrize(("norm", "size"), [("layer", 128), ("rms", 64), ("scale", 1)])
@pytest.mark.parametrize("placement", ["post", "pre"])
def test_the_options_change_the_norms_sizes_alone(norm: str, size: int, placement: str) -> None:
    """Two norms a block and one before or after the blocks, wherever they stand."""
    model = SASRec(norm=norm, placement=placement).build(dim=64, sequence_length=10)  # type: ignore[arg-type]
    default = SASRec().build(dim=64, sequence_length=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 100_224 - 5 * 128 + 5 * size
    assert {name.rpartition(".")[0] for name, _ in model.named_parameters()} == {
        name.rpartition(".")[0] for name, _ in default.named_parameters()
    }


@pytest.mark.parametrize(("initialisation", "variance"), [("xavier", 2 / (2 * 96)), ("small", 2 / (5 * 96))])
def test_initial_weights_have_the_published_variance(initialisation: str, variance: float) -> None:
    torch.manual_seed(0)
    model = SASRec(initialisation=initialisation).build(dim=96, sequence_length=10)  # type: ignore[arg-type]
    for block in model.blocks:  # type: ignore[union-attr]
        for layer in (block.attention.query, block.attention.key, block.attention.value, block.attention.out):
            assert layer.weight.var().item() == pytest.approx(variance, rel=0.06)  # 9,216 numbers: 4 deviations
        assert block.feed_forward.up.weight.var().item() == pytest.approx(2 / (5 * 96), rel=0.03)
        assert not block.feed_forward.up.bias.any()


@torch.no_grad()
@pytest.mark.parametrize("norm", ["layer", "rms", "scale"])
def test_post_normed_states_have_the_norms_length_however_deep(norm: str) -> None:
    """And pre-normed ones as well, by the norm after the last block."""
    embeddings, mask = inputs()
    for placement in ("post", "pre"):
        states = encoder(norm=norm, placement=placement, num_blocks=6)(100 * embeddings, mask)
        torch.testing.assert_close(states.norm(dim=2), torch.full((USERS, LENGTH), DIM**0.5), rtol=1e-4, atol=0)


@torch.no_grad()
def test_fix_norm_scales_the_inputs() -> None:
    embeddings, mask = inputs()
    plain, fixed = encoder(), encoder(fix_norm=True)
    torch.testing.assert_close(fixed(embeddings, mask), plain(DIM**0.5 * embeddings, mask), rtol=0, atol=1e-6)
    assert SASRec().item_norm() is None
