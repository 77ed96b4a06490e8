"""Which blocks DTL writes to, and what it refuses."""

import pytest

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import BesideTowersEncoder
from peftrec.models.side_networks.write_back import WriteBack
from peftrec.strategies.dtl import DTL
from small_models import BASE_SHAPE, SMALL_PAIRS


def built(strategy: DTL) -> dict[str, WriteBack]:
    encoder = strategy.adapt(BASE_SHAPE.load(seed=0, with_weights=False), embedding_dim=8, num_items=4)
    assert isinstance(encoder, BesideTowersEncoder)
    assert not any(parameter.requires_grad for parameter in encoder.towers.parameters())
    networks = {name: network for name, network in encoder.beside.items() if isinstance(network, WriteBack)}
    assert list(networks) == ["image", "text"]
    return networks


def test_the_upper_half_of_the_blocks_is_written_to() -> None:
    assert [network.first_written for network in built(DTL()).values()] == [6, 6]
    assert [network.first_written for network in built(DTL(first_written=0)).values()] == [0, 0]


def test_the_convolution_stands_beside_the_image_tower_alone() -> None:
    networks = built(DTL(fusion=3))
    assert networks["text"].fusion is None
    assert networks["image"].fusion is not None
    assert networks["image"].num_prefix_tokens == 1


def test_a_block_that_is_not_there_and_a_convolution_without_images_are_refused() -> None:
    towers = SMALL_PAIRS["text_only"]
    with pytest.raises(SettingsError, match=r"strategy\.first_written: 4, and the text tower has blocks 0 to 3"):
        DTL(first_written=4).adapt(towers.load(seed=0), embedding_dim=8, num_items=4)
    with pytest.raises(SettingsError, match=r"strategy\.fusion: there is no image tower.*set strategy\.fusion=0"):
        DTL(fusion=3).adapt(towers.load(seed=0), embedding_dim=8, num_items=4)
