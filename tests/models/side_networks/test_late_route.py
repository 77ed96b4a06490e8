"""SHERL against a literal loop over tokens, and where in a tower there are gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peftrec.data.batches import TextBatch
from peftrec.models.side_networks.late_route import LateRoute
from peftrec.models.towers.names import Modality
from peftrec.models.towers.tower import Tower
from small_models import SMALL_PAIRS, item_batch

INNER, GATE = 5, 0.05


def tower_of(modality: Modality) -> Tower:
    towers = SMALL_PAIRS[f"{modality}_only"].load(seed=0).requires_grad_(False).eval()
    return towers.present()[modality].double()


def network_of(tower: Tower, *, dropout: float = 0.0) -> LateRoute:
    network = LateRoute(tower.width, num_blocks=tower.num_blocks, inner=INNER, dropout=dropout)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        network.gate.fill_(GATE)
        network.attention.bias.fill_(1.0)  # no weight is cut off at zero
    return network.double()


def inputs_of(modality: Modality) -> Any:
    return item_batch(3, SMALL_PAIRS[f"{modality}_only"]).content(modality)


def affine(layer: Any, x: Tensor) -> Tensor:
    return layer.weight @ x + layer.bias


def norm(layer: Any, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias


def literal_token(network: LateRoute, states: list[Tensor]) -> Tensor:
    """What the last block reads of one token, from what entered each block."""
    z = [norm(down[1], affine(down[0], h)) for down, h in zip(network.down, states, strict=True)]  # type: ignore[index]
    *shallow, guide = z
    weights = []
    for one in shallow:
        alike = [(one @ other / one.norm() / other.norm()).clamp(min=0) for other in shallow]
        asked = affine(network.attention, one * guide).clamp(min=0)
        weights.append(asked / torch.stack(alike).sum())
    total = torch.cat(weights).sum().clamp(min=1e-6)
    u = guide + torch.stack([weight / total * one for weight, one in zip(weights, shallow, strict=True)]).sum(dim=0)
    return norm(network.norm, affine(network.outer, u.clamp(min=0))) + torch.tanh(network.gate / 0.1) * states[-1]


def literal(network: LateRoute, tower: Tower, inputs: Any) -> Tensor:
    entering: dict[int, Tensor] = {}
    with tower.visiting(on_input=entering.__setitem__):
        tower(inputs)
    last = tower.num_blocks - 1
    routed = torch.stack(
        [
            torch.stack(
                [
                    literal_token(network, [entering[place][item, token] for place in range(tower.num_blocks)])
                    for token in range(entering[0].shape[1])
                ]
            )
            for item in range(len(entering[0]))
        ]
    )
    with tower.visiting(on_input=lambda place, tokens: routed if place == last else None):
        return tower(inputs)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_it_computes_the_equations_and_their_gradients(modality: Modality) -> None:
    tower = tower_of(modality)
    network, inputs = network_of(tower), inputs_of(modality)
    ours, theirs = network(tower, inputs), literal(network, tower, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    parameters = list(network.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)
        assert one.abs().sum() > 0


def test_the_last_block_alone_has_a_gradient_inside() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    leaving: dict[int, bool] = {}
    with tower.visiting(on_output=lambda place, tokens: leaving.__setitem__(place, tokens.requires_grad)):
        network_of(tower)(tower, inputs)
    last = tower.num_blocks - 1
    assert leaving == {place: place == last for place in range(tower.num_blocks)}


def test_it_starts_without_the_towers_own_stream() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    network = network_of(tower)
    with torch.no_grad():
        network.gate.zero_()
    vector = network(tower, inputs)
    (down,) = (parameter for name, parameter in network.named_parameters() if name == "outer.weight")
    with torch.no_grad():
        down.zero_()
        network.outer.bias.zero_()
        network.norm.bias.zero_()
    nothing = network(tower, inputs)
    last = tower.num_blocks - 1
    with tower.visiting(on_input=lambda place, tokens: torch.zeros_like(tokens) if place == last else None):
        torch.testing.assert_close(nothing, tower(inputs))
    assert not torch.allclose(vector, nothing, atol=1e-3)


def test_padding_decides_nothing() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    longer = TextBatch(
        token_ids=nn.functional.pad(inputs.token_ids, (0, 3), value=1), mask=nn.functional.pad(inputs.mask, (0, 3))
    )
    network = network_of(tower)
    torch.testing.assert_close(network(tower, longer), network(tower, inputs), rtol=1e-9, atol=1e-9)
