"""GRU4Rec against its equations written out for one user, and its size."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from peftrec.user_encoders.gru4rec import GRU4Rec

DIM, LENGTH = 6, 5


def encoder(**settings: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GRU4Rec(**settings).build(dim=DIM, sequence_length=LENGTH).eval().double()


def literal(model: nn.Module, items: Tensor) -> Tensor:
    """Step through one user's items, oldest first, from a state of zeros."""
    inputs, num_layers = items, model.gru.num_layers  # type: ignore[union-attr]
    for layer in range(num_layers):  # type: ignore[arg-type]
        weights = [getattr(model.gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        hidden, states = torch.zeros(weights[1].shape[1], dtype=items.dtype), []
        for item in inputs:
            of_item = (weights[0] @ item + weights[2]).chunk(3)
            of_state = (weights[1] @ hidden + weights[3]).chunk(3)
            reset, update = torch.sigmoid(of_item[0] + of_state[0]), torch.sigmoid(of_item[1] + of_state[1])
            candidate = torch.tanh(of_item[2] + reset * of_state[2])
            hidden = (1 - update) * candidate + update * hidden
            states.append(hidden)
        inputs = torch.stack(states)
    return inputs @ model.project.weight.T + model.project.bias  # type: ignore[union-attr, operator]


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [1, 2])
def test_follows_the_equations_whatever_the_padding(num_layers: int) -> None:
    model = encoder(hidden_dim=4, num_layers=num_layers)
    embeddings = torch.randn(LENGTH, LENGTH, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = torch.arange(LENGTH) >= torch.arange(LENGTH)[:, None]
    states = model(embeddings, mask)
    for num_padded in range(LENGTH):
        expected = literal(model, embeddings[num_padded, num_padded:])
        torch.testing.assert_close(states[num_padded, num_padded:], expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_more_padding_changes_nothing() -> None:
    """The same history in a window of its own length and in longer ones; one of any length can be read."""
    model = encoder(hidden_dim=4)
    items = torch.randn(1, 3, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alone = model(items, torch.ones(1, 3, dtype=torch.bool))
    for num_padded in (1, 2, 20):
        padded = torch.cat([torch.full((1, num_padded, DIM), 9.0, dtype=torch.float64), items], dim=1)
        mask = torch.arange(num_padded + 3)[None] >= num_padded
        torch.testing.assert_close(model(padded, mask)[:, num_padded:], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dim", "hidden", "num_layers"), [(64, 128, 1), (6, 4, 3)])
def test_size_follows_the_formula(dim: int, hidden: int, num_layers: int) -> None:
    """Three gates of input weights, state weights and two biases a layer; one output layer."""
    model = GRU4Rec(hidden_dim=hidden, num_layers=num_layers).build(dim=dim, sequence_length=10)
    first = 3 * (hidden * dim + hidden * hidden + 2 * hidden)
    others = (num_layers - 1) * 3 * (2 * hidden * hidden + 2 * hidden)
    expected = first + others + hidden * dim + dim
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("settings", [{"hidden_dim": 0}, {"num_layers": "1"}, {"dropout": 1.0}, {"num_heads": 2}])
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        GRU4Rec(**settings)
