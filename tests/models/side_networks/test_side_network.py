"""The side network against a literal one from the equations: values, and gradients of every parameter."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from peftrec.models.side_networks.options import Branch
from peftrec.models.side_networks.side_alignment import StateAlignment
from peftrec.models.side_networks.side_network import SideBlock, SideNetwork, SideTower
from peftrec.models.towers.names import Modality
from servers import run_command

HIDDEN, BOTTLENECK, DIM, NUM_STATES, NUM_ITEMS = 7, 5, 4, 4, 6
BRANCHES: dict[str, tuple[Branch, ...]] = {
    "intra_inter": ("image", "text", "inter"),
    "intra": ("image", "text"),
    "inter": ("inter",),
    "text_only": ("text",),
    "image_only": ("image",),
}
VARIANTS = [
    pytest.param(branches, mixing, activation, starts, id=f"{branches}-{mixing}-{activation}-{starts}")
    for branches, mixing, activation, starts in itertools.product(
        BRANCHES, ("gated", "add"), ("relu", "gelu"), (False, True)
    )
]


def network_of(branches: str, mixing: str, activation: str, starts: bool, seed: int = 0) -> SideNetwork:
    towers = {
        branch: SideTower(
            HIDDEN,
            num_blocks=NUM_STATES - int(starts),
            block=partial(SideBlock, bottleneck=BOTTLENECK, activation=activation),  # type: ignore[arg-type]
            embedding_dim=DIM,
            mixing=mixing,  # type: ignore[arg-type]
        )
        for branch in BRANCHES[branches]
    }
    network = SideNetwork(towers, embedding_dim=DIM, starts_from_embedding=starts)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.1 if name.endswith("gates") else 0.5  # a gate of 0.1 opens to 0.73
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network


def states_of(seed: int = 1) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (NUM_ITEMS, NUM_STATES, HIDDEN)
    names: tuple[Modality, ...] = ("image", "text")
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name in names}


def of_towers_there(branches: str, states: dict[Modality, Tensor]) -> dict[Modality, Tensor]:
    """Leave out the modality that a run with one tower has no states of."""
    only = branches.removesuffix("_only") if branches.endswith("_only") else None
    return {name: tensor for name, tensor in states.items() if only in (None, name)}


def literal(
    weights: dict[str, Tensor],
    branches: str,
    mixing: str,
    activation: str,
    starts: bool,
    states: dict[Modality, Tensor],
) -> Tensor:
    """One item, one branch and one state after the other, as the equations have it."""

    def sigma(x: Tensor) -> Tensor:
        return x.clamp(min=0) if activation == "relu" else x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))

    items = []
    for item in range(NUM_ITEMS):
        parts = []
        for branch in BRANCHES[branches]:
            of = {name.removeprefix(f"branches.{branch}."): tensor for name, tensor in weights.items()}
            image, text = states["image"][item], states["text"][item]
            own = text if branch == "text" else image
            s = own[0] if starts and branch != "inter" else torch.zeros_like(own[0])
            for k in range(NUM_STATES - int(starts)):
                h = k + int(starts)
                g = 1 / (1 + torch.exp(-of["gates"][k] / 0.1)) if mixing == "gated" else None
                if branch == "inter":
                    x = s + image[h] + text[h] if g is None else s + g * image[h] + (1 - g) * text[h]
                else:
                    x = s + own[h] if g is None else g * own[h] + (1 - g) * s
                down = of[f"blocks.{k}.down.weight"] @ x + of[f"blocks.{k}.down.bias"]
                s = x + of[f"blocks.{k}.up.weight"] @ sigma(down) + of[f"blocks.{k}.up.bias"]
            out = of["out.weight"] @ s + of["out.bias"]
            parts.append(of["project.weight"] @ out + of["project.bias"])
        items.append(weights["fusion.weight"] @ torch.cat(parts) + weights["fusion.bias"])
    return torch.stack(items)


def gradients(network: SideNetwork, states: dict[Modality, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    output = network(states)
    network.zero_grad()
    (output * torch.arange(1, DIM + 1)).square().sum().backward()
    return output.detach(), {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("branches", "mixing", "activation", "starts"), VARIANTS)
def test_agrees_with_a_literal_network(branches: str, mixing: str, activation: str, starts: bool) -> None:
    network = network_of(branches, mixing, activation, starts).double()
    states = states_of()
    weights = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
    expected = literal(weights, branches, mixing, activation, starts, states)
    (expected * torch.arange(1, DIM + 1)).square().sum().backward()
    found, grads = gradients(network, of_towers_there(branches, states))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-10, atol=1e-10)
    assert grads.keys() == weights.keys()
    for name, weight in weights.items():
        assert weight.grad is not None
        torch.testing.assert_close(grads[name], weight.grad, rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize(("branches", "starts"), [*itertools.product(BRANCHES, (False, True))])
def test_hand_written_steps_equal_plain_operations(
    branches: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(branches, "gated", "relu", starts)
    states = {name: tensor.float() for name, tensor in states_of().items()}
    states = of_towers_there(branches, states)
    by_hand = gradients(network, states)
    monkeypatch.setattr(SideTower, "is_by_hand", lambda _: False)
    plain = gradients(network, states)
    torch.testing.assert_close(by_hand[0], plain[0], rtol=1e-5, atol=1e-5)
    assert by_hand[1].keys() == plain[1].keys() == dict(network.named_parameters()).keys()
    for name, gradient in plain[1].items():
        bound = 1e-5 * max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(by_hand[1][name], gradient, rtol=0, atol=bound, msg=name)


def saved_bytes(network: SideNetwork, states: dict[Modality, Tensor]) -> int:
    """Bytes that the forward pass keeps for the backward pass, each memory counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(states)
    assert output.requires_grad
    return sum(kept.values())


def test_hand_written_steps_keep_inputs_and_bottlenecks_of_blocks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("intra_inter", "gated", "relu", False)
    random = torch.Generator().manual_seed(0)
    names: tuple[Modality, ...] = ("image", "text")
    states = {name: torch.randn(500, NUM_STATES, HIDDEN, generator=random) for name in names}
    by_hand = saved_bytes(network, states)
    monkeypatch.setattr(SideTower, "is_by_hand", lambda _: False)
    # What a mixture came from is kept in plain operations only: the outputs of the intra branches' blocks but the last,
    # which the output layers keep, and the zeros that they start from. So are the inter branch's gates, beside the
    # weights of both towers that come of them.
    blocks_outputs = 2 * NUM_STATES * 500 * HIDDEN * 4
    gates = NUM_STATES * 4
    assert saved_bytes(network, states) - by_hand == blocks_outputs + gates


@pytest.mark.parametrize("unequal", [False, True])
def test_hand_written_steps_under_autocast_are_near_the_plain_operations(
    unequal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = unequal_network(False) if unequal else network_of("intra_inter", "gated", "relu", False)
    states = unequal_states(torch.float32) if unequal else {k: v.float() for k, v in states_of().items()}
    exact, exact_gradients = gradients(network, states)
    errors = {}
    for way in ("by hand", "plain"):
        with torch.autocast("cpu", torch.bfloat16):
            found, found_gradients = gradients(network, states)
        assert found.dtype == torch.bfloat16
        assert {name: tensor.dtype for name, tensor in found_gradients.items()} == dict.fromkeys(
            exact_gradients, torch.float32
        )
        pairs = [(found.float(), exact), *((found_gradients[name], exact_gradients[name]) for name in exact_gradients)]
        squares = [(float((low - high).square().sum()), float(high.square().sum())) for low, high in pairs]
        errors[way] = (sum(error for error, _ in squares) / sum(size for _, size in squares)) ** 0.5
        monkeypatch.setattr(SideTower, "is_by_hand", lambda _: False)
    assert 0 < errors["by hand"] <= 2 * errors["plain"]


@pytest.mark.parametrize("num_items", [1, 3, 200])
def test_merged_output_layers_equal_out_then_project(num_items: int) -> None:
    tower = network_of("text_only", "gated", "relu", False).double().branches["text"]
    final = torch.randn(num_items, HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    merged, apart = tower.embed(final), tower.project(tower.out(final))  # type: ignore[operator]
    torch.testing.assert_close(merged, apart, rtol=1e-12, atol=1e-12)
    parameters = [*tower.out.parameters(), *tower.project.parameters()]  # type: ignore[union-attr, operator]
    first = torch.autograd.grad(merged.square().sum(), parameters)
    second = torch.autograd.grad(apart.square().sum(), parameters)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_block_starts_near_the_identity_and_gates_start_half_open() -> None:
    block = SideBlock(64, 16)
    x = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    assert 0 < (block(x) - x).abs().max() < 0.05
    assert not block.down.bias.any()
    assert not block.up.bias.any()
    tower = SideTower(HIDDEN, num_blocks=3, block=partial(SideBlock, bottleneck=BOTTLENECK), embedding_dim=DIM)
    assert tower.gates is not None
    assert tower.gates.tolist() == [0.0] * 3
    for block in tower.blocks:
        block.up.weight.data.zero_()  # type: ignore[union-attr, operator]
    state = torch.randn(4, HIDDEN, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(tower.intra([state] * 3, None), (1 - 0.5**3) * state)


@pytest.mark.parametrize("mixing", ["gated", "add"])
def test_introduced_are_blocks_and_gates(mixing: str) -> None:
    network = network_of("intra_inter", mixing, "relu", False)
    introduced = {id(parameter) for parameter in network.introduced()}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in introduced}
    assert names == {name for name, _ in network.named_parameters() if ".blocks." in name or name.endswith(".gates")}
    assert any(name.endswith(".gates") for name in names) == (mixing == "gated")
    counted = sum(parameter.numel() for parameter in network.introduced())
    block = 2 * HIDDEN * BOTTLENECK + HIDDEN + BOTTLENECK
    assert counted == 3 * NUM_STATES * (block + int(mixing == "gated"))


def test_branches_are_embedded_apart() -> None:
    network = network_of("intra_inter", "gated", "relu", False).double()
    states = states_of()
    before = network.embed_branches(states)
    after = network.embed_branches(states | {"text": states["text"] + 1})
    changed: Callable[[Branch], bool] = lambda branch: not torch.equal(before[branch], after[branch])  # noqa: E731
    assert [changed(branch) for branch in ("image", "text", "inter")] == [False, True, True]  # type: ignore[arg-type]
    fused = network.fusion(torch.cat([before["image"], before["text"], before["inter"]], dim=-1))
    assert torch.equal(network(states), fused)


UNEQUAL: dict[Modality, tuple[int, int]] = {"image": (4, 6), "text": (5, 9)}
"""States and width of each tower; text is deeper and wider."""


def unequal_network(starts: bool) -> SideNetwork:
    num_blocks = {name: num_states - int(starts) for name, (num_states, _) in UNEQUAL.items()}
    widths: dict[Modality, int] = {name: width for name, (_, width) in UNEQUAL.items()}
    towers: dict[Branch, SideTower] = {
        name: SideTower(
            width, num_blocks=num_blocks[name], block=partial(SideBlock, bottleneck=3), embedding_dim=DIM, out_dim=DIM
        )
        for name, width in widths.items()
    }
    fewest = min(num_blocks.values())
    block = partial(SideBlock, bottleneck=2)
    towers["inter"] = SideTower(min(widths.values()), num_blocks=fewest, block=block, embedding_dim=DIM)
    alignment = StateAlignment(widths, num_steps=fewest)
    network = SideNetwork(towers, embedding_dim=DIM, starts_from_embedding=starts, alignment=alignment)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(
                (0.1 if name.endswith("gates") else 0.5) * torch.randn(parameter.shape, generator=generator)
            )
    return network


def unequal_states(dtype: torch.dtype) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(NUM_ITEMS, *shape, generator=generator, dtype=dtype) for name, shape in UNEQUAL.items()}


def literal_inter(of: dict[str, Tensor], states: dict[Modality, Tensor], starts: bool) -> Tensor:
    """The inter branch of unequal towers, aligned and paired from the top."""
    s = torch.zeros(NUM_ITEMS, 6, dtype=torch.float64)
    num_pairs = 4 - int(starts)
    for k in range(num_pairs):
        g = 1 / (1 + torch.exp(-of["branches.inter.gates"][k] / 0.1))
        image = states["image"][:, 4 - num_pairs + k]
        text = states["text"][:, 5 - num_pairs + k]
        text = text @ of[f"alignment.steps.{k}.weight"].T + of[f"alignment.steps.{k}.bias"]
        x = s + g * image + (1 - g) * text
        block = f"branches.inter.blocks.{k}"
        down = x @ of[f"{block}.down.weight"].T + of[f"{block}.down.bias"]
        s = x + down.clamp(min=0) @ of[f"{block}.up.weight"].T + of[f"{block}.up.bias"]
    out = s @ of["branches.inter.out.weight"].T + of["branches.inter.out.bias"]
    return out @ of["branches.inter.project.weight"].T + of["branches.inter.project.bias"]


@pytest.mark.parametrize("starts", [False, True])
def test_unequal_towers_meet_from_the_top_at_the_narrower_width(starts: bool) -> None:
    network = unequal_network(starts).double()
    states = unequal_states(torch.float64)
    weights = {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}
    expected = literal_inter(weights, states, starts)
    found = network.embed_branches(states)["inter"]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    names = [name for name in weights if name.startswith(("alignment", "branches.inter"))]
    gradients = torch.autograd.grad(found.square().sum(), [network.get_parameter(name) for name in names])
    others = torch.autograd.grad(expected.square().sum(), [weights[name] for name in names])
    for name, one, other in zip(names, gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9, msg=name)


def test_surplus_states_of_the_deeper_tower_concern_its_own_branch_alone() -> None:
    network, states = unequal_network(False), unequal_states(torch.float32)
    before = network.embed_branches(states)
    changed = states["text"].clone()
    changed[:, 0] += 1
    after = network.embed_branches({**states, "text": changed})
    assert {name: torch.equal(before[name], after[name]) for name in before} == {
        "image": True,
        "text": False,
        "inter": True,
    }


def test_hand_written_steps_serve_unequal_towers(monkeypatch: pytest.MonkeyPatch) -> None:
    network, states = unequal_network(False), unequal_states(torch.float32)
    by_hand = gradients(network, states)
    nodes = {type(node).__name__ for node in graph_of(network(states))}
    assert {"IntraRecurrenceBackward", "InterRecurrenceBackward"} <= nodes
    monkeypatch.setattr(SideTower, "is_by_hand", lambda _: False)
    plain = gradients(network, states)
    nodes = {type(node).__name__ for node in graph_of(network(states))}
    assert not nodes & {"IntraRecurrenceBackward", "InterRecurrenceBackward"}
    torch.testing.assert_close(by_hand[0], plain[0], rtol=1e-5, atol=1e-5)
    assert by_hand[1].keys() == plain[1].keys() == dict(network.named_parameters()).keys()
    for name, gradient in plain[1].items():
        bound = 1e-5 * max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(by_hand[1][name], gradient, rtol=0, atol=bound, msg=name)


def graph_of(output: Tensor) -> set[object]:
    """Return the nodes of the backward graph."""
    seen: set[object] = set()
    waiting: list[object] = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]  # type: ignore[attr-defined]
    return seen


def test_alignment_is_introduced_too() -> None:
    network = unequal_network(False)
    introduced = {id(parameter) for parameter in network.introduced()}
    assert network.alignment is not None
    assert {id(parameter) for parameter in network.alignment.parameters()} <= introduced


@pytest.mark.integration
def test_the_compiler_reads_the_network_as_one_graph() -> None:
    status, said = run_command([], module="compiled_side_network")
    assert status == 0, said
