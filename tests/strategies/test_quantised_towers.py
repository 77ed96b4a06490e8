"""Strategies on towers whose weights are int8: which take them, that they train as elsewhere, and what it saves."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.models.towers.quantised_weights import QuantisedLinear, restore_weights
from peftrec.models.towers.towers import Towers
from peftrec.processes import ALONE
from peftrec.testing.parts import compose, names_of_package
from peftrec.testing.small_towers import NUM_BLOCKS, SMALL_PAIRS, item_batch, without_dropout
from peftrec.testing.steps import DIM, NUM_ITEMS, batch_of, build, copies, moved, small, train, trainable
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.building.reading import prepare_data
from peftrec.training.building.stored_states import store_key
from peftrec.training.measurement.first_step import probe_step
from peftrec.training.run.identity import identify, provenance_of
from small_runs import small_settings

REFUSED = {"boft": "BOFT", "dora": "LORA", "full": "trains the towers' weights"}
"""With words of the reason."""
TAKING = sorted({*names_of_package()["strategy"]} - {*REFUSED, "id"})


def quantised(pair: TowerPair) -> TowerPair:
    text, image = pair.text, pair.image
    assert isinstance(text, PretrainedText)
    assert isinstance(image, PretrainedImage)
    return TowerPair(text=replace(text, weights="int8"), image=replace(image, weights="int8"))


PAIR = quantised(SMALL_PAIRS["text_and_image"])


@pytest.mark.parametrize("name", REFUSED)
def test_what_trains_or_reads_these_weights_is_refused(name: str) -> None:
    settings = compose("strategy", name)
    with pytest.raises(
        SettingsError,
        match=rf"towers\.image\.weights=int8: strategy={name} .*{REFUSED[name]}.*set towers\.image\.weights=float32",
    ):
        replace(settings, towers=PAIR)


@pytest.mark.integration
@pytest.mark.parametrize("name", TAKING)
def test_it_trains_as_on_other_towers(name: str) -> None:
    """What moves is what is declared, gradients reach all of it, and the first step's check finds the bytes."""
    settings = small(compose("strategy", name), PAIR)
    module = build(settings)
    before = copies(module)
    declared = trainable(module)
    plain = build(small(compose("strategy", name), SMALL_PAIRS["text_and_image"]))
    assert declared == trainable(plain)
    cost = probe_step(module, batch_of(settings))
    assert cost.gradient_bytes == 4 * sum(before[each].numel() for each in declared)
    if settings.strategy.states == "live":
        rounded = [layer for layer in module.modules() if isinstance(layer, QuantisedLinear)]
        assert len(rounded) == 2 * 6 * NUM_BLOCKS
        saved = sum(3 * layer.weight.numel() - 4 * layer.scale.numel() for layer in rounded)
        assert cost.parameter_bytes == probe_step(plain, batch_of(settings)).parameter_bytes - saved
    train(module, settings)
    assert moved(module, before) == declared


@pytest.mark.integration
@torch.no_grad()
@pytest.mark.parametrize("name", TAKING)
def test_it_computes_what_it_does_on_the_rounded_weights(name: str) -> None:
    """Else a method would read whole numbers where it means weights."""
    strategy = replace(compose("strategy", name).strategy, states="live")
    pair = without_dropout(SMALL_PAIRS["text_and_image"])

    def embedded(towers: Towers) -> torch.Tensor:
        torch.manual_seed(3)
        encoder = strategy.adapt(towers, embedding_dim=DIM, num_items=NUM_ITEMS).eval()
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape))
        return encoder(item_batch(NUM_ITEMS, pair))

    rounded = quantised(pair).load(seed=1)
    restored = quantised(pair).load(seed=1)
    restore_weights(restored)
    torch.testing.assert_close(embedded(rounded), embedded(restored), rtol=1e-3, atol=1e-4)


def test_gradients_reach_lora_in_the_lowest_block() -> None:
    settings = small(compose("strategy", "lora"), PAIR)
    module = build(settings)
    train(module, settings)  # from where B is no longer zero
    module.loss(batch_of(settings)).backward()
    lowest = [
        parameter
        for tower in module.recommender.item_encoder.towers.present().values()
        for name, parameter in tower.blocks()[0].named_parameters()
        if "lora_" in name
    ]
    assert len(lowest) == 2 * 2 * 2  # towers, sites, matrices
    for parameter in lowest:
        assert parameter.grad is not None
        assert parameter.grad.any()


def test_bytes_at_the_papers_shape() -> None:
    """Of BERT-base: 12 blocks of 4 d d and 2 d 4 d weights, a byte each, and a float32 scale for 9 d outputs."""
    text = PretrainedText(architecture={"model_type": "bert"}, random_init=True)
    plain, rounded = (
        replace(text, weights=weights).load("text", seed=0, with_weights=False) for weights in ("float32", "int8")
    )
    sizes = [sum(parameter.nbytes for parameter in tower.parameters()) for tower in (plain, rounded)]
    weights, outputs = 12 * (4 * 768 * 768 + 2 * 768 * 3072), 12 * (5 * 768 + 3072)
    assert sizes[0] == 4 * 108_891_648
    assert sizes[1] == sizes[0] - 3 * weights + 4 * outputs == 181_094_400


def test_weights_are_part_of_a_runs_and_a_stores_name(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "iisan_cached")
    other = replace(settings, towers=quantised(settings.towers))
    split = prepare_data(settings)
    assert store_key(settings, split.items).folder_name() != store_key(other, split.items).folder_name()
    assert settings.towers.weights_hashes(seed=1) != other.towers.weights_hashes(seed=1)
    ids = {identify(one, provenance_of(one, split), ALONE, "train").run_id for one in (settings, other)}
    assert len(ids) == 2
