"""The shared head against its formula; frozen states live and read, one network for both."""

import math

import pytest
import torch
from torch import Tensor, nn

from peftrec.models.item_encoder import FrozenStatesEncoder, FusionHead, TowerItemEncoder
from peftrec.models.towers.names import OUTPUT, Modality
from small_models import SMALL_PAIRS, WIDTH, item_batch

INDICES: dict[Modality, tuple[int, ...]] = {"image": (0, 2, OUTPUT), "text": (1, 3, 4)}


class Sum(nn.Module):
    """A network whose output tells every state of every modality apart."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, states: dict[Modality, Tensor]) -> Tensor:
        places = [(place + 1) * tensor for place, tensor in enumerate(states.values())]
        weights = torch.arange(1.0, 4.0)[:, None]
        return self.scale * torch.stack([(weights * tensor).sum(dim=1) for tensor in places]).sum(dim=0)


class Table:
    """States by item index, kept in memory."""

    def __init__(self, states: dict[Modality, Tensor], scales: dict[Modality, Tensor] | None = None) -> None:
        self.states = states
        self.scales = scales or {}

    def read(self, items: Tensor) -> dict[Modality, Tensor]:
        return {name: tensor[items] for name, tensor in self.states.items()}


class CountingTable(Table):
    """Notes how many rows it is asked for."""

    def __init__(self, states: dict[Modality, Tensor]) -> None:
        super().__init__(states)
        self.asked: list[int] = []

    def read(self, items: Tensor) -> dict[Modality, Tensor]:
        self.asked.append(len(items))
        return super().read(items)


def frozen_encoder() -> FrozenStatesEncoder:
    network = Sum()
    towers = SMALL_PAIRS["text_and_image"].load(seed=0)
    return FrozenStatesEncoder(towers, network, indices=INDICES, introduced=[network.scale])


@pytest.mark.parametrize("widths", [{"image": 6, "text": 9}, {"text": 5}])
def test_the_head_is_gelu_per_tower_then_one_layer(widths: dict[Modality, int]) -> None:
    head = FusionHead(widths, embedding_dim=4).double()
    vectors = {name: torch.randn(7, width, dtype=torch.float64) for name, width in widths.items()}
    found = head(dict(reversed(vectors.items())))  # the order is the head's, not the caller's
    for item in range(7):
        projected = []
        for name in widths:
            layer = head.project[name]
            raw = layer.weight @ vectors[name][item] + layer.bias  # type: ignore[operator]
            projected += [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in raw.tolist()]
        expected = head.fusion.weight @ torch.tensor(projected, dtype=torch.float64) + head.fusion.bias
        torch.testing.assert_close(found[item], expected)


def test_the_head_stands_on_the_towers_outputs() -> None:
    pair = SMALL_PAIRS["text_and_image"]
    encoder = TowerItemEncoder(pair.load(seed=0), embedding_dim=8).eval()
    batch = item_batch(5, pair)
    with torch.no_grad():
        assert torch.equal(encoder(batch), encoder.head(encoder.towers(batch)))
    assert encoder(batch).shape == (5, 8)
    assert list(encoder.introduced()) == []


def test_frozen_towers_have_no_gradient_and_the_network_has() -> None:
    encoder = frozen_encoder()
    batch = item_batch(4, SMALL_PAIRS["text_and_image"])
    states = encoder.states(batch)
    assert {name: tensor.shape for name, tensor in states.items()} == {
        "image": (4, 3, WIDTH),
        "text": (4, 3, WIDTH),
    }
    assert not any(tensor.requires_grad for tensor in states.values())
    assert not any(parameter.requires_grad for parameter in encoder.towers.parameters())
    encoder(batch).sum().backward()
    assert all(parameter.grad is None for parameter in encoder.towers.parameters())
    assert next(iter(encoder.introduced())).grad is not None


def test_stored_states_give_what_live_ones_give_and_let_the_towers_go() -> None:
    encoder = frozen_encoder()
    pair = SMALL_PAIRS["text_and_image"]
    whole = item_batch(9, pair)
    chosen = torch.tensor([7, 0, 3])
    live = encoder(whole)
    kept = encoder.states(whole)
    encoder.read_from(Table(kept))
    assert not list(encoder.towers.parameters())
    with_ids_only = item_batch(9, pair).__class__(items=chosen)
    assert torch.equal(encoder(with_ids_only), live[chosen])
    assert len(list(encoder.parameters())) == 1


@pytest.mark.parametrize(("is_low", "num_read"), [(False, 5), (True, 8)])
def test_stored_items_are_rounded_up_for_kernels_of_one_shape_and_change_nothing(is_low: bool, num_read: int) -> None:
    encoder = frozen_encoder()
    pair = SMALL_PAIRS["text_and_image"]
    states = encoder.states(item_batch(9, pair))
    table = CountingTable(states)
    encoder.read_from(table)
    batch = item_batch(9, pair).__class__(items=torch.tensor([7, 2, 3, 8, 1]))
    (scale,) = encoder.introduced()
    expected = encoder.network(Table(states).read(batch.items))
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), scale)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_low):
        found = encoder(batch)
    (gradient,) = torch.autograd.grad(found.square().sum(), scale)
    assert table.asked == [num_read]
    assert torch.equal(found, expected)  # this network has no products, whose type autocast would lower
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(("num_items", "num_read"), [(0, 0), (8, 8), (9, 16)])
def test_items_are_rounded_up_in_a_model_of_16_bits(num_items: int, num_read: int) -> None:
    encoder = frozen_encoder().to(torch.bfloat16)
    encoder.read_from(Table({}))
    batch = item_batch(9, SMALL_PAIRS["text_and_image"]).__class__(items=torch.arange(num_items))
    rounded = encoder._rounded_up(batch).items
    assert len(rounded) == num_read
    assert torch.equal(rounded[:num_items], batch.items)
    assert not rounded[num_items:].any()
