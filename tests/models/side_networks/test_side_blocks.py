"""The layers of side blocks against the matrices that they stand for: values, gradients, counts."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from low_precision import autocast_error
from peftrec.config.instantiate import build_part
from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import BlockOptions, Branch
from peftrec.models.side_networks.side_blocks import PHM, BlockLayer, Dense, LowRank, layer_builder
from peftrec.models.side_networks.side_network import SideBlock, SideNetwork, SideTower
from peftrec.models.towers.names import Modality

HIDDEN, BOTTLENECK, DIM, NUM_STATES, NUM_ITEMS = 12, 8, 4, 3, 6
OPTIONS = {
    "bottleneck": BlockOptions(),
    "low_rank": BlockOptions(block="low_rank", rank=3),
    "phm": BlockOptions(block="phm", phm_division=4),
}


def count(layer: BlockLayer) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def filled(layer: BlockLayer, seed: int = 0) -> BlockLayer:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer.double()  # type: ignore[return-value]


def kronecker_sum(rules: Tensor, factors: Tensor) -> Tensor:
    return torch.stack([torch.kron(a, b) for a, b in zip(rules, factors, strict=True)]).sum(0)


EXPLICIT: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
    "bottleneck": lambda of: of["weight"],
    "low_rank": lambda of: of["left"] @ of["right"],
    "phm": lambda of: kronecker_sum(of["rules"], of["factors"]),
}
"""The matrix of each block from its parameters, spelled out."""


@pytest.mark.parametrize("name", EXPLICIT)
def test_a_layer_is_its_explicit_matrix(name: str) -> None:
    layer = filled(layer_builder(OPTIONS[name])(HIDDEN, BOTTLENECK))
    states = torch.randn(5, HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = dict(layer.named_parameters())
    weight = EXPLICIT[name](parameters)
    assert weight.shape == (BOTTLENECK, HIDDEN)
    torch.testing.assert_close(layer.weight, weight, rtol=1e-12, atol=1e-12)
    expected = states @ weight.T + parameters["bias"]
    found = layer(states)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(out.pow(3).sum(), list(parameters.values())) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_phm_with_hamiltons_rules_is_the_product_of_quaternions() -> None:
    """Zhang et al.: the real, i, j and k parts of a quaternion times another, for n = 4 and factors of one entry."""
    layer = filled(PHM(4, 4, division=4))
    assert isinstance(layer, PHM)
    units = {
        "1": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        "i": [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]],
        "j": [[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]],
        "k": [[0, 0, 0, -1], [0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0]],
    }
    a, b, c, d = layer.factors.flatten().tolist()
    with torch.no_grad():
        layer.rules.copy_(torch.tensor(list(units.values())))
        layer.bias.zero_()
    p, q, r, s = 0.3, -1.2, 0.7, 2.0
    product = [
        a * p - b * q - c * r - d * s,
        a * q + b * p + c * s - d * r,
        a * r - b * s + c * p + d * q,
        a * s + b * r - c * q + d * p,
    ]
    found = layer(torch.tensor([p, q, r, s], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(product, dtype=torch.float64))


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 8), (768, 64), (64, 768)])
def test_counts(inputs: int, outputs: int) -> None:
    assert count(Dense(inputs, outputs)) == inputs * outputs + outputs
    assert count(LowRank(inputs, outputs, rank=3)) == 3 * (inputs + outputs) + outputs
    assert count(PHM(inputs, outputs, division=4)) == 4**3 + inputs * outputs // 4 + outputs


@pytest.mark.parametrize("width", [128, 384, 768, 1024])
def test_both_small_blocks_have_equal_parameters_by_default(width: int) -> None:
    """At the published bottleneck of 64: 8 (d + 64) = 8^3 + 64 d / 8."""
    low_rank, phm = (layer_builder(BlockOptions(block=block)) for block in ("low_rank", "phm"))
    assert count(low_rank(width, 64)) == count(phm(width, 64)) == 8 * (width + 64) + 64


@pytest.mark.parametrize("options", [*OPTIONS.values(), BlockOptions(block="low_rank"), BlockOptions(block="phm")])
def test_a_layer_starts_as_the_published_one(options: BlockOptions) -> None:
    """Entries of the matrix have mean 0 and deviation 0.01, whatever it is made of."""
    torch.manual_seed(0)
    layer = layer_builder(options)(768, 64)
    layer.start(0.01)
    assert not layer.bias.any()
    weight = layer.weight.detach()
    assert float(weight.std()) == pytest.approx(0.01, rel=0.15)
    assert abs(float(weight.mean())) < 1e-3


def test_the_default_block_draws_its_numbers_in_the_order_of_plain_layers() -> None:
    """So that a seed gives the run that it gave before blocks had variants."""
    torch.manual_seed(0)
    block = SideBlock(HIDDEN, BOTTLENECK)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(HIDDEN, BOTTLENECK), torch.nn.Linear(BOTTLENECK, HIDDEN)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight, std=0.01)
    assert torch.equal(block.down.weight, layers[0].weight)
    assert torch.equal(block.up.weight, layers[1].weight)


@pytest.mark.parametrize(("hidden", "bottleneck"), [(20, 64), (768, 60)])
def test_a_division_that_does_not_fit_is_one_error(hidden: int, bottleneck: int) -> None:
    builder = layer_builder(BlockOptions(block="phm"))
    with pytest.raises(SettingsError, match=rf"phm_division: 8 does not divide both.*{bottleneck}.*take a divisor of"):
        SideBlock(hidden, bottleneck, layer=builder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 4}, "rank belongs to block=low_rank and block is bottleneck; set rank=null or block=low_rank"),
        ({"block": "phm", "rank": 4}, "rank belongs to block=low_rank and block is phm"),
        ({"block": "low_rank", "phm_division": 4}, "phm_division belongs to block=phm and block is low_rank"),
        ({"block": "low_rank", "rank": 0}, "greater than or equal to 1"),
    ],
)
def test_an_option_of_another_block_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build_part(BlockOptions, options)


def network_of(name: str, mixing: str, activation: str) -> SideNetwork:
    block = partial(SideBlock, bottleneck=BOTTLENECK, activation=activation, layer=layer_builder(OPTIONS[name]))  # type: ignore[arg-type]
    branches: tuple[Branch, ...] = ("image", "text", "inter")
    towers = {
        branch: SideTower(HIDDEN, num_blocks=NUM_STATES, block=block, embedding_dim=DIM, mixing=mixing)  # type: ignore[arg-type]
        for branch in branches
    }
    network = SideNetwork(towers, embedding_dim=DIM)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            scale = 0.1 if parameter_name.endswith("gates") else 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network


def states_of(dtype: torch.dtype) -> dict[Modality, Tensor]:
    generator = torch.Generator().manual_seed(1)
    names: tuple[Modality, ...] = ("image", "text")
    return {name: torch.randn(NUM_ITEMS, NUM_STATES, HIDDEN, generator=generator, dtype=dtype) for name in names}


def as_dense(name: str, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put the explicit matrix in place of what each layer of a block holds."""
    dense = {key: tensor for key, tensor in parameters.items() if ".blocks." not in key}
    for prefix in {key.rpartition(".")[0] for key in parameters if ".blocks." in key}:
        of = {key.rpartition(".")[2]: tensor for key, tensor in parameters.items() if key.startswith(f"{prefix}.")}
        dense |= {f"{prefix}.weight": EXPLICIT[name](of), f"{prefix}.bias": of["bias"]}
    return dense


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("mixing", ["gated", "add"])
@pytest.mark.parametrize("name", ["low_rank", "phm"])
def test_a_network_of_small_blocks_is_a_dense_one_of_their_matrices(name: str, mixing: str, activation: str) -> None:
    network = network_of(name, mixing, activation).double()
    dense = network_of("bottleneck", mixing, activation).double()
    states = states_of(torch.float64)
    parameters = dict(network.named_parameters())
    found = network(states)
    expected = functional_call(dense, as_dense(name, parameters), (states,))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(out.pow(3).sum(), list(parameters.values())) for out in (found, expected)]
    for key, one, other in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8, msg=key)


@pytest.mark.parametrize(("name", "is_by_hand"), [("bottleneck", True), ("low_rank", False), ("phm", True)])
def test_thin_factors_are_multiplied_one_after_the_other(name: str, is_by_hand: bool) -> None:
    for tower in network_of(name, "gated", "relu").branches.values():
        assert tower.is_by_hand() == is_by_hand  # type: ignore[operator]
    assert not network_of(name, "gated", "gelu").branches["text"].is_by_hand()  # type: ignore[operator]


@pytest.mark.parametrize("name", OPTIONS)
def test_under_autocast_gradients_come_near(name: str) -> None:
    assert 0 < autocast_error(network_of(name, "gated", "relu"), states_of(torch.float32)) < 0.05
