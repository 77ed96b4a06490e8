"""UniPT's reader against a literal one, item by item; and that padding and towers stay out of it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from peftrec.data.batches import TextBatch
from peftrec.models.side_networks.token_reader import TokenReader
from peftrec.models.towers.names import OUTPUT, Modality
from peftrec.models.towers.tower import Tower
from small_models import SMALL_PAIRS, item_batch

INNER = 5


def tower_of(modality: Modality) -> Tower:
    towers = SMALL_PAIRS[f"{modality}_only"].load(seed=0).requires_grad_(False).eval()
    return towers.present()[modality].double()


def reader_of(tower: Tower) -> TokenReader:
    reader = TokenReader(tower.width, num_states=tower.num_blocks + 1, inner=INNER)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return reader.double()


def inputs_of(modality: Modality) -> Any:
    return item_batch(4, SMALL_PAIRS[f"{modality}_only"]).content(modality)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return layer.weight @ x + layer.bias


def literal(reader: TokenReader, tower: Tower, inputs: Any) -> Tensor:
    """The authors' loop over states, for one item at a time, its padding cut off."""
    states = tower.token_states(inputs, (*range(tower.num_blocks + 1), OUTPUT))
    mask = tower.token_mask(inputs, states[0].shape[1])
    every = []
    for item in range(len(mask)):
        o = states[OUTPUT][item, 0]  # the small towers pool by their first token
        a = linear(reader.anchor, o.clamp(min=0))
        x, c = [], []
        for index in range(tower.num_blocks + 1):
            tokens = [h for h, known in zip(states[index][item], mask[item], strict=True) if known]
            z = [linear(reader.down[index], h.clamp(min=0)) for h in tokens]
            products = [(each @ a).clamp(min=0) for each in z]
            total = sum(products).clamp(min=1e-6)  # type: ignore[union-attr]
            x.append(sum(p / total * each for p, each in zip(products, z, strict=True)) + z[0])
            c.append(linear(reader.confidence, a * (sum(z) / len(z))))
        shares = torch.cat(c).exp() / torch.cat(c).exp().sum()
        merged = sum(share * each for share, each in zip(shares, x, strict=True))
        assert isinstance(merged, Tensor)
        every.append(o + linear(reader.up, merged.clamp(min=0)))
    return torch.stack(every)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_it_computes_the_equations_and_their_gradients(modality: Modality) -> None:
    tower = tower_of(modality)
    assert tower.pooling == "cls"
    reader, inputs = reader_of(tower), inputs_of(modality)
    ours, theirs = reader(tower, inputs), literal(reader, tower, inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    parameters = list(reader.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_padding_decides_nothing() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    longer = TextBatch(
        token_ids=nn.functional.pad(inputs.token_ids, (0, 3), value=1), mask=nn.functional.pad(inputs.mask, (0, 3))
    )
    reader = reader_of(tower)
    torch.testing.assert_close(reader(tower, longer), reader(tower, inputs), rtol=1e-9, atol=1e-9)


def test_tokens_besides_the_pooled_one_decide_something() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    shorter = TextBatch(token_ids=inputs.token_ids, mask=inputs.mask.clone())
    shorter.mask[:, 2:] = False
    assert not torch.allclose(reader_of(tower)(tower, inputs), reader_of(tower)(tower, shorter), atol=1e-3)


def test_nothing_is_kept_of_what_the_tower_computes() -> None:
    tower, inputs = tower_of("text"), inputs_of("text")
    tower.requires_grad_(True)
    reader_of(tower)(tower, inputs).sum().backward()
    assert all(parameter.grad is None for parameter in tower.parameters())
