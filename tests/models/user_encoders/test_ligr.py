"""LiGR against its equations, written out; its size."""

import pytest
import torch
from torch import Tensor

from peftrec.errors import SettingsError
from peftrec.models.user_encoders.ligr import LiGRBlock, LiGREncoder
from peftrec.user_encoders.ligr import LiGR

DIM, LENGTH, HEADS = 6, 5, 2


def norm(vector: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    plain = (vector - vector.mean()) / (vector.var(unbiased=False) + 1e-5).sqrt()
    return plain * layer.weight + layer.bias


def gate(vector: Tensor, layer: torch.nn.Linear) -> Tensor:
    return 1 / (1 + torch.exp(-(layer.weight @ vector + layer.bias)))


def literal_block(block: LiGRBlock, states: list[Tensor]) -> list[Tensor]:
    """One user without padding."""
    width = DIM // HEADS
    normed = [norm(state, block.attention_norm) for state in states]
    parts = block.attention
    queries, keys, values = (
        [layer.weight @ state + layer.bias for state in normed] for layer in (parts.query, parts.key, parts.value)
    )
    found = []
    for i, state in enumerate(states):
        heads = []
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            scores = torch.stack([queries[i][own] @ keys[j][own] / width**0.5 for j in range(i + 1)])
            heads.append(sum(w * values[j][own] for j, w in enumerate(scores.exp() / scores.exp().sum())))
        attended = parts.out.weight @ torch.cat(heads) + parts.out.bias
        between = state + gate(state, block.attention_gate) * attended
        read, feed = norm(between, block.feed_forward_norm), block.feed_forward
        up = feed.up.weight @ read
        fed = feed.down.weight @ (up / (1 + torch.exp(-up)) * (feed.gate.weight @ read))
        found.append(between + gate(between, block.feed_forward_gate) * fed)
    return found


@torch.no_grad()
def test_agrees_with_its_equations() -> None:
    torch.manual_seed(0)
    model = LiGREncoder(dim=DIM, sequence_length=LENGTH, num_blocks=2, num_heads=HEADS, widening=3, dropout=0.3)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    model = model.double().eval()
    embeddings = torch.randn(2, LENGTH, DIM, dtype=torch.float64)
    mask = torch.arange(LENGTH) >= LENGTH - torch.tensor([3, LENGTH])[:, None]
    found = model(embeddings, mask)
    for user in range(2):
        places = mask[user].nonzero()[:, 0].tolist()
        states = [embeddings[user, each] + model.position_embedding.weight[each] for each in places]
        for block in model.blocks:
            assert isinstance(block, LiGRBlock)
            states = literal_block(block, states)
        torch.testing.assert_close(found[user, places], torch.stack(states))


def test_its_size() -> None:
    """Attention 4 d^2 + 4 d, norms 4 d, feed-forward 12 d^2, gates 2 d^2 + 2 d, a block; positions once."""
    dim, length = 64, 10
    built = LiGR().build(dim=dim, sequence_length=length)
    assert 18 * dim**2 + 10 * dim == 74_368
    assert sum(parameter.numel() for parameter in built.parameters()) == 2 * 74_368 + length * dim


def test_heads_divide_the_width() -> None:
    with pytest.raises(SettingsError, match="3 heads do not divide embedding_dim=64"):
        LiGR(num_heads=3).check(dim=64)
