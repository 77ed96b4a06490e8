"""Which states QST reads, and that its last one is the tower's vector."""

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.side_networks.low_rank_ladder import LowRankLadder
from peftrec.models.side_networks.options import Layers
from peftrec.models.side_networks.states_network import StatesNetwork
from peftrec.models.towers.names import OUTPUT
from peftrec.strategies.qst import QST
from small_models import BASE_SHAPE, SMALL_PAIRS, item_batch


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("every_second", (0, 2, 4, 6, 8, 10, 12)), ("all", tuple(range(13))), ((3, 12), (0, 3, 12))],
)
def test_it_reads_the_states_of_a_ladder_and_the_towers_vector(layers: Layers, expected: tuple[int, ...]) -> None:
    built = QST(layers=layers).adapt(BASE_SHAPE.load(seed=0, with_weights=False), embedding_dim=8, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    assert built.indices == dict.fromkeys(("image", "text"), (*expected, OUTPUT))
    assert isinstance(built.network, StatesNetwork)
    for ladder in built.network.beside.values():
        assert isinstance(ladder, LowRankLadder)
        assert len(ladder.rungs) == len(ladder.layers) == len(ladder.gates) == len(expected) - 1
        assert ladder.up.in_features == 48


@torch.no_grad()
def test_with_its_gates_open_the_towers_vector_is_left() -> None:
    pair = SMALL_PAIRS["text_and_image"]
    built = QST().adapt(pair.load(seed=0), embedding_dim=8, num_items=4).eval()
    assert isinstance(built, FrozenStatesEncoder)
    for name, parameter in built.network.named_parameters():
        if name.endswith("vector_gate"):
            parameter.fill_(50.0)
    batch = item_batch(4, pair)
    alone = pair.load(seed=0).eval()(batch)
    network = built.network
    assert isinstance(network, StatesNetwork)
    for name, states in built.states(batch).items():
        torch.testing.assert_close(network.beside[name](states), alone[name])


def test_a_reduction_that_does_not_divide_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"strategy\.reduction: 5 does not divide 32, the width of the text tower"):
        QST(reduction=5).adapt(SMALL_PAIRS["text_only"].load(seed=0), embedding_dim=8, num_items=4)
