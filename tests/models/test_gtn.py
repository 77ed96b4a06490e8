"""Towers and gate of GTN against torch's own encoder layer, and their arithmetic."""

import pytest
import torch
from torch import Tensor, nn

from peftrec.models.gtn import Gate, Tower, sinusoidal_positions
from peftrec.models.gtn_shape import TowerShape

SHAPE = TowerShape(dim=12, num_blocks=2, num_heads=3, head_width=4, hidden=20, dropout=0.0)


def block_size(dim: int, inner: int, hidden: int) -> int:
    """Query, key (no bias), value, output; two layers; two norms."""
    attention = 2 * (dim * inner + inner) + dim * inner + inner * dim + dim
    return attention + dim * hidden + hidden + hidden * dim + dim + 4 * dim


def as_torch_layer(block: nn.Module, shape: TowerShape) -> nn.TransformerEncoderLayer:
    """Return torch's post-norm encoder layer with the block's weights and no bias of keys."""
    layer = nn.TransformerEncoderLayer(shape.dim, shape.num_heads, shape.hidden, dropout=0.0, batch_first=True)
    own = dict(block.named_parameters())
    attention = layer.self_attn
    parts = ("query", "key", "value")
    no_bias = torch.zeros(shape.dim)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([own[f"attention.{part}.weight"] for part in parts]))
        attention.in_proj_bias.copy_(torch.cat([own.get(f"attention.{part}.bias", no_bias) for part in parts]))
        attention.out_proj.load_state_dict({name: own[f"attention.out.{name}"] for name in ("weight", "bias")})
        for theirs, ours in (
            (layer.linear1, "feed_forward.0"),
            (layer.linear2, "feed_forward.2"),
            (layer.norm1, "attention_norm"),
            (layer.norm2, "feed_forward_norm"),
        ):
            theirs.load_state_dict({name: own[f"{ours}.{name}"] for name in ("weight", "bias")})
    return layer


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_tower_is_torchs_encoder_behind_a_linear_layer(is_causal: bool) -> None:
    torch.manual_seed(0)
    tower = Tower(5, SHAPE, num_positions=7)
    series = torch.randn(4, 7, 5)
    visible = torch.ones(7, 7, dtype=torch.bool).tril()
    expected = tower.embedding(series) + sinusoidal_positions(7, 12)
    for block in tower.blocks:
        expected = as_torch_layer(block, SHAPE)(expected, src_mask=~visible if is_causal else None)
    found = tower(series, visible.expand(4, 7, 7) if is_causal else None)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_tokens_without_positions_have_no_order() -> None:
    torch.manual_seed(0)
    series, order = torch.randn(2, 6, 5), torch.tensor([3, 0, 5, 1, 4, 2])
    unordered, ordered = Tower(5, SHAPE), Tower(5, SHAPE, num_positions=6)
    torch.testing.assert_close(unordered(series[:, order]), unordered(series)[:, order], rtol=0, atol=1e-5)
    assert (ordered(series[:, order]) - ordered(series)[:, order]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("shape", "inner"),
    [(TowerShape(), 64), (TowerShape(dim=6, num_blocks=3, num_heads=2, head_width=5, hidden=7), 10)],
)
def test_size_follows_the_formula(shape: TowerShape, inner: int) -> None:
    """The heads need not make up the width: 64 of 512 in the published tower."""
    with torch.device("meta"):
        tower = Tower(29, shape, num_positions=12)
    expected = 29 * shape.dim + shape.dim + shape.num_blocks * block_size(shape.dim, inner, shape.hidden)
    assert sum(parameter.numel() for parameter in tower.parameters()) == expected


def test_dropout_is_there_in_training_alone() -> None:
    tower, series = Tower(5, TowerShape(dim=12, num_blocks=1, hidden=8)), torch.randn(2, 6, 5)
    assert not torch.equal(tower(series), tower(series))
    assert torch.equal(tower.eval()(series), tower(series))


def test_the_gate_weighs_the_towers() -> None:
    torch.manual_seed(0)
    gate, steps, channels = Gate(3, 4), torch.randn(5, 3), torch.randn(5, 4)
    gated = gate(steps, channels)
    torch.testing.assert_close(gated.weights.sum(dim=1), torch.ones(5))
    torch.testing.assert_close(gated.weights, (gate.layer(torch.cat([steps, channels], dim=1))).softmax(dim=1))
    torch.testing.assert_close(gated.features[:, :3], gated.weights[:, :1] * steps)
    torch.testing.assert_close(gated.features[:, 3:], gated.weights[:, 1:] * channels)


@pytest.mark.parametrize(("bias", "kept"), [((50.0, 0.0), "steps"), ((0.0, 50.0), "channels")])
def test_a_shut_gate_lets_one_tower_through(bias: tuple[float, float], kept: str) -> None:
    gate, parts = Gate(3, 4), {"steps": torch.randn(5, 3), "channels": torch.randn(5, 4)}
    with torch.no_grad():
        gate.layer.weight.zero_()
        gate.layer.bias.copy_(torch.tensor(bias))
    expected = [part if name == kept else torch.zeros_like(part) for name, part in parts.items()]
    torch.testing.assert_close(gate(**parts).features, torch.cat(expected, dim=1))


@pytest.mark.parametrize("dim", [8, 7, 1])
def test_positions_are_waves(dim: int) -> None:
    positions = sinusoidal_positions(20, dim)
    assert positions.shape == (20, dim)
    for column in range(dim):
        wave = torch.sin if column % 2 == 0 else torch.cos
        rate = 10_000 ** (-(column - column % 2) / dim)
        expected = wave(torch.arange(20, dtype=torch.float64) * rate).float()
        torch.testing.assert_close(positions[:, column], expected, rtol=0, atol=1e-5)


def test_products_of_positions_depend_on_their_distance_alone() -> None:
    positions: Tensor = sinusoidal_positions(20, 8)
    products = positions @ positions.T
    for distance in range(20):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=0, atol=1e-4)
