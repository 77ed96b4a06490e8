"""A side network over three towers, against the equations: the inter branch weighs them by a softmax."""

from functools import partial

import pytest
import torch
from torch import Tensor

from peftrec.models.side_networks.side_alignment import StateAlignment
from peftrec.models.side_networks.side_network import SideBlock, SideNetwork, SideTower
from peftrec.models.side_networks.side_recurrences import weights_of_towers

STEPS, ITEMS, DIM = 3, 5, 4
WIDTHS = {"image": 6, "text": 9, "audio": 7}
ORDER = ["image", "text", "audio"]


def network_of(mixing: str = "gated") -> SideNetwork:
    build = partial(
        SideTower, num_blocks=STEPS, embedding_dim=DIM, mixing=mixing, block=partial(SideBlock, bottleneck=2)
    )
    towers = {name: build(width) for name, width in WIDTHS.items()} | {"inter": build(6, num_fused=3)}
    network = SideNetwork(towers, embedding_dim=DIM, alignment=StateAlignment(WIDTHS, num_steps=STEPS))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.1 if name.endswith("gates") else 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network.double()


def states_of() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(ITEMS, STEPS, width, generator=generator, dtype=torch.float64)
        for name, width in WIDTHS.items()
    }


def aligned(of: dict[str, Tensor], states: dict[str, Tensor], name: str, k: int) -> Tensor:
    """Text has the first layers of the alignment, audio those after them; image is the narrowest."""
    if name == "image":
        return states[name][:, k]
    layer = f"alignment.steps.{k + STEPS * (name == 'audio')}"
    return states[name][:, k] @ of[f"{layer}.weight"].T + of[f"{layer}.bias"]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_recurrences_by_hand_and_in_plain_operations_mix_alike(activation: str) -> None:
    """A block of gelu is not computed by hand; blocks that add nothing leave the mixtures alone."""
    generator = torch.Generator().manual_seed(2)
    tower = SideTower(
        4,
        num_blocks=STEPS,
        block=partial(SideBlock, bottleneck=2, activation=activation),
        embedding_dim=DIM,
        num_fused=3,
    ).double()
    assert tower.is_by_hand() == (activation == "relu")
    assert tower.gates is not None
    with torch.no_grad():
        tower.gates.copy_(0.1 * torch.randn(tower.gates.shape, generator=generator))
        for block in tower.blocks:
            block.up.weight.zero_()  # type: ignore[union-attr]
    fed = [[torch.randn(ITEMS, 4, generator=generator).double() for _ in range(STEPS)] for _ in range(3)]
    weights = weights_of_towers(tower._logits())
    expected = sum(weights[step, at] * fed[at][step] for step in range(STEPS) for at in range(3))
    torch.testing.assert_close(tower.inter(fed), expected)


@pytest.mark.parametrize("mixing", ["gated", "add"])
def test_the_inter_branch_weighs_three_towers_by_a_softmax(mixing: str) -> None:
    network, states = network_of(mixing), states_of()
    of = dict(network.named_parameters())
    m = torch.zeros(ITEMS, 6, dtype=torch.float64)
    for k in range(STEPS):
        weights = torch.ones(3, dtype=torch.float64)
        if mixing == "gated":
            odds = torch.exp(torch.cat([of["branches.inter.gates"][k], torch.zeros(1, dtype=torch.float64)]) / 0.1)
            weights = odds / odds.sum()
        mixed = m + sum(weight * aligned(of, states, name, k) for weight, name in zip(weights, ORDER, strict=True))
        block = f"branches.inter.blocks.{k}"
        down = mixed @ of[f"{block}.down.weight"].T + of[f"{block}.down.bias"]
        m = mixed + down.clamp(min=0) @ of[f"{block}.up.weight"].T + of[f"{block}.up.bias"]
    out = m @ of["branches.inter.out.weight"].T + of["branches.inter.out.bias"]
    expected = out @ of["branches.inter.project.weight"].T + of["branches.inter.project.bias"]
    found = network.embed_branches(states)
    assert list(found) == [*ORDER, "inter"]
    torch.testing.assert_close(found["inter"], expected, rtol=1e-10, atol=1e-10)
    backwards = {name: states[name] for name in reversed(ORDER)}
    assert torch.equal(network(states), network(backwards)), "the order in which states come decides nothing"


def test_all_towers_weigh_the_same_at_the_start() -> None:
    tower = SideTower(4, num_blocks=2, block=partial(SideBlock, bottleneck=2), embedding_dim=DIM, num_fused=4)
    assert tower.is_by_hand()
    torch.testing.assert_close(weights_of_towers(tower._logits()), torch.full((2, 4), 0.25))


def test_over_two_towers_the_softmax_is_the_published_gate() -> None:
    logits = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = torch.softmax(torch.stack([logits, torch.zeros_like(logits)], dim=-1), dim=-1)[:, 0]
    torch.testing.assert_close(first, torch.sigmoid(logits))
    tower = SideTower(4, num_blocks=2, block=partial(SideBlock, bottleneck=2), embedding_dim=DIM, num_fused=2)
    assert tower.gates is not None
    assert tower.gates.shape == (2,)
    assert tower.is_by_hand()
