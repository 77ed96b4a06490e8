"""Which states the side network reads, and what it refuses."""

import pytest

from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.strategies.iisan import IISAN
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage
from small_models import BASE_SHAPE, SMALL, SMALL_PAIRS, TEXT, WIDTH

PAIR = SMALL_PAIRS["text_and_image"]


def encoder(strategy: IISAN, pair: TowerPair = PAIR) -> FrozenStatesEncoder:
    built = strategy.adapt(pair.load(seed=0, with_weights=False), embedding_dim=8, num_items=4)
    assert isinstance(built, FrozenStatesEncoder)
    return built


def test_the_paper_reads_every_second_state() -> None:
    assert encoder(IISAN(), BASE_SHAPE).indices == dict.fromkeys(("image", "text"), (0, 2, 4, 6, 8, 10, 12))


def test_layers_are_counted_from_the_top_of_an_odd_tower() -> None:
    odd = TowerPair(
        text=None,
        image=PretrainedImage(
            architecture={"model_type": "vit", "image_size": 16, "patch_size": 8, **SMALL, "num_hidden_layers": 5},
            random_init=True,
        ),
    )
    assert encoder(IISAN(), odd).indices == {"image": (0, 1, 3, 5)}


def test_starting_from_the_embedding_reads_it_whatever_the_layers() -> None:
    assert encoder(IISAN(layers=(2, 4), starts_from_embedding=True)).indices["text"] == (0, 2, 4)


@pytest.mark.parametrize("layers", [(), (0, 5), (2, 1), (1, 1), (-1, 2)])
def test_impossible_layers_are_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"strategy\.layers.*between 0 and 4"):
        encoder(IISAN(layers=layers))


def test_inter_needs_two_towers() -> None:
    with pytest.raises(SettingsError, match="use intra"):
        encoder(IISAN(branches="inter"), SMALL_PAIRS["text_only"])


def test_towers_of_two_widths_are_refused() -> None:
    wider = PretrainedImage(
        architecture={"model_type": "vit", "image_size": 16, "patch_size": 8, **SMALL, "hidden_size": 2 * WIDTH},
        random_init=True,
    )
    with pytest.raises(SettingsError, match="one width"):
        encoder(IISAN(), TowerPair(text=TEXT, image=wider))


def test_blocks_and_gates_are_introduced_and_the_rest_recommends() -> None:
    built = encoder(IISAN())
    introduced = {id(parameter) for parameter in built.introduced()}
    names = {name for name, parameter in built.named_parameters() if id(parameter) in introduced}
    assert names == {name for name, _ in built.named_parameters() if ".blocks." in name or name.endswith(".gates")}
