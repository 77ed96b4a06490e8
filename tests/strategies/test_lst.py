"""Which states the ladder reads, that IISAN's store serves it, and towers that differ."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.hidden_states.key import StoreKey
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.side_networks.ladder import Ladder
from peftrec.models.side_networks.options import Layers
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.strategies.lst import LST
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage
from peftrec.training.building.reading import prepare_data
from peftrec.training.building.stored_states import store_key
from small_models import BASE_SHAPE, SIDE, SMALL, SMALL_PAIRS, TEXT, WIDTH, build_strategy, item_batch
from small_runs import small_settings

DEEPER_AND_WIDER_IMAGE = TowerPair(
    text=TEXT,
    image=PretrainedImage(
        architecture={
            "model_type": "vit",
            "image_size": SIDE,
            "patch_size": 8,
            **SMALL,
            "hidden_size": WIDTH + 8,
            "num_hidden_layers": 7,
        },
        random_init=True,
    ),
)


def encoder(strategy: LST, pair: TowerPair, *, with_weights: bool = False) -> FrozenStatesEncoder:
    built = strategy.adapt(pair.load(seed=0, with_weights=with_weights), embedding_dim=8, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    return built


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("every_second", (0, 2, 4, 6, 8, 10, 12)),
        ("all", tuple(range(13))),
        ("top_half", (0, 7, 8, 9, 10, 11, 12)),
        ((2, 3, 4, 6, 7, 8, 10, 11, 12), (0, 2, 3, 4, 6, 7, 8, 10, 11, 12)),  # the published T5-base runs
        ((0, 4), (0, 4)),
    ],
)
def test_a_layer_that_is_left_out_has_no_side_layer(layers: Layers, expected: tuple[int, ...]) -> None:
    built = encoder(LST(layers=layers), BASE_SHAPE)
    assert built.indices == {"image": expected, "text": expected}
    assert isinstance(built.network, StatesNetwork)
    for ladder in built.network.beside.values():
        assert isinstance(ladder, Ladder)
        assert len(ladder.layers) == len(ladder.rungs) == len(ladder.gates) == len(expected) - 1
        assert ladder.first.out_features == 96


@pytest.mark.parametrize("layers", [(), (1, 5), (2, 1), (0,)])
def test_impossible_layers_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"strategy\.layers: .*(between 0 and 4|a layer above 0)"):
        encoder(LST(layers=layers), SMALL_PAIRS["text_only"])


def test_a_reduction_that_does_not_fit_is_one_error() -> None:
    with pytest.raises(SettingsError, match=r"strategy\.reduction: 5 does not divide 32, the width of the text tower"):
        encoder(LST(reduction=5), SMALL_PAIRS["text_only"])


def test_towers_may_differ_in_depth_and_width() -> None:
    built = encoder(LST(reduction=4), DEEPER_AND_WIDER_IMAGE, with_weights=True).eval()
    assert built.indices == {"image": (0, 1, 3, 5, 7), "text": (0, 2, 4)}
    batch = item_batch(5, DEEPER_AND_WIDER_IMAGE)
    optimizer = torch.optim.Adam([p for p in built.parameters() if p.requires_grad], lr=1e-2)
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        built(batch).square().sum().backward()
        optimizer.step()
    moved = {name for name, parameter in built.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name, _ in built.network.named_parameters(prefix="network")}


@pytest.fixture
def key_of(tmp_path: Path) -> Callable[..., StoreKey]:
    def key(name: str, **changes: object) -> StoreKey:
        settings = small_settings(tmp_path, "iisan_cached")
        strategy = build_strategy(config_directory() / "strategy" / f"{name}.yaml", **changes)
        return store_key(replace(settings, strategy=strategy), prepare_data(settings).items)

    return key


def test_one_store_serves_every_strategy_that_reads_the_same_layers(key_of: Callable[..., StoreKey]) -> None:
    shared = key_of("iisan_cached")
    for name in ("lst_cached", "lst", "iisan_low_rank_cached", "iisan_phm_cached"):
        assert key_of(name) == shared
    assert key_of("lst_cached", reduction=2) == shared
    assert key_of("lst_cached", layers=[0, 2, 4]) == key_of("lst_cached", layers=[2, 4]) == shared


@pytest.mark.parametrize("layers", ["all", "top_half", [4]])
def test_other_layers_are_another_store_for_all_alike(layers: object, key_of: Callable[..., StoreKey]) -> None:
    ladder, blocks = key_of("lst_cached", layers=layers), key_of("iisan_cached", layers=layers)
    assert ladder.folder_name() != key_of("lst_cached").folder_name()
    if layers == [4]:  # the ladder starts from the embedding layer, IISAN need not
        assert ladder == key_of("iisan_cached", layers=layers, starts_from_embedding=True) != blocks
    else:
        assert ladder == blocks
