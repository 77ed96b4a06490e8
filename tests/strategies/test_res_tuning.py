"""Which states the bypass reads, and that the ladder's store serves it."""

from dataclasses import replace
from pathlib import Path

import pytest

from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.side_networks.bypass import Bypass
from peftrec.models.side_networks.options import Layers
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.strategies.res_tuning import ResTuning
from peftrec.training.building.reading import prepare_data
from peftrec.training.building.stored_states import store_key
from small_models import BASE_SHAPE, SMALL_PAIRS, build_strategy
from small_runs import small_settings


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("every_second", (0, 2, 4, 6, 8, 10, 12)), ("all", tuple(range(13))), ((3, 12), (0, 3, 12))],
)
def test_each_state_above_the_first_has_a_pair_of_tuners(layers: Layers, expected: tuple[int, ...]) -> None:
    built = ResTuning(layers=layers).adapt(BASE_SHAPE.load(seed=0, with_weights=False), embedding_dim=8, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    assert built.indices == {"image": expected, "text": expected}
    assert isinstance(built.network, StatesNetwork)
    for bypass in built.network.beside.values():
        assert isinstance(bypass, Bypass)
        assert len(bypass.lateral) == len(bypass.vertical) == len(expected) - 1


def test_impossible_layers_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"strategy\.layers"):
        ResTuning(layers=(0,)).adapt(SMALL_PAIRS["text_only"].load(seed=0), embedding_dim=8, num_items=4)


@pytest.mark.parametrize("layers", ["every_second", "all"])
def test_the_store_of_a_ladder_serves_it(layers: str, tmp_path: Path) -> None:
    settings = small_settings(tmp_path, "iisan_cached")
    items = prepare_data(settings).items

    def key(name: str) -> object:
        strategy = build_strategy(config_directory() / "strategy" / f"{name}.yaml", layers=layers)
        return store_key(replace(settings, strategy=strategy), items)

    assert key("res_tuning_cached") == key("res_tuning") == key("lst_cached")
