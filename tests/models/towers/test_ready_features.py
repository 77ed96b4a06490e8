"""Ready features behind the interface of towers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.config.instantiate import build_part, describe_part
from peftrec.data.batches import FeatureBatch, ItemBatch
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.names import OUTPUT
from peftrec.models.towers.towers import Towers
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage
from peftrec.towers.ready_features import ReadyFeatures
from small_models import IMAGE, build_strategy, strategy_files

NUM_ITEMS, NUM_STATES, WIDTH = 6, 5, 16


@pytest.fixture
def pair(tmp_path: Path) -> TowerPair:
    random = np.random.default_rng(0)
    for name in ("text", "image"):
        np.save(tmp_path / f"{name}.npy", random.normal(size=(NUM_ITEMS, NUM_STATES, WIDTH)).astype(np.float16))
    return TowerPair(
        text=ReadyFeatures(file=str(tmp_path / "text.npy")), image=ReadyFeatures(file=str(tmp_path / "image.npy"))
    )


def batch_of(pair: TowerPair) -> ItemBatch:
    batches = {
        file.tower: FeatureBatch(states=torch.from_numpy(np.array(file.states))) for file in pair.feature_files()
    }
    return ItemBatch(items=torch.arange(NUM_ITEMS), contents=batches)


def test_states_and_output_are_the_features(pair: TowerPair) -> None:
    towers = pair.load(seed=1)
    batch = batch_of(pair)
    assert towers.widths() == {"image": WIDTH, "text": WIDTH}
    assert {tower.num_blocks for tower in towers.present().values()} == {NUM_STATES - 1}
    states = towers.states(batch, {"image": (0, 3), "text": (1, OUTPUT)})
    assert torch.equal(states["image"], batch.content("image").states[:, [0, 3]].float())
    assert torch.equal(states["text"], batch.content("text").states[:, [1, NUM_STATES - 1]].float())
    assert torch.equal(towers(batch)["text"], batch.content("text").states[:, -1].float())


def test_there_is_nothing_to_train_and_nothing_to_save(pair: TowerPair) -> None:
    towers = pair.load(seed=1)
    assert list(towers.parameters()) == []
    assert towers.state_dict() == {}
    assert towers.device == torch.device("cpu")
    assert pair.load(seed=1, with_weights=False).device == torch.device("meta")
    assert towers.to(torch.bfloat16)(batch_of(pair))["image"].dtype == torch.bfloat16


def adapted(towers: Towers, strategy: str) -> torch.nn.Module:
    (file,) = [file for file in strategy_files() if file.stem == strategy]
    return build_strategy(file).adapt(towers, embedding_dim=8, num_items=NUM_ITEMS)


@pytest.mark.parametrize("strategy", ["frozen", "iisan", "full"])
def test_what_leaves_towers_as_they_are_trains_on_features(pair: TowerPair, strategy: str) -> None:
    encoder = adapted(pair.load(seed=1), strategy)
    embeddings = encoder(batch_of(pair))
    assert embeddings.shape == (NUM_ITEMS, 8)
    embeddings.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


@pytest.mark.parametrize("strategy", ["lora", "adapter"])
def test_what_adapts_layers_is_refused(pair: TowerPair, strategy: str) -> None:
    with pytest.raises(SettingsError, match=r"matches nothing in the image tower: ready features have no layers"):
        adapted(pair.load(seed=1), strategy)


@pytest.mark.parametrize("strategy", ["dtl", "dtl_plus", "sherl", "unipt"])
def test_what_reads_tokens_or_blocks_is_refused(pair: TowerPair, strategy: str) -> None:
    with pytest.raises(SettingsError, match=r"towers\.image: ready features have no tokens and no blocks"):
        adapted(pair.load(seed=1), strategy)


def test_what_trains_biases_is_refused(pair: TowerPair) -> None:
    with pytest.raises(SettingsError, match="the image tower has no bias to train"):
        adapted(pair.load(seed=1), "bitfit")


def test_one_vector_an_item_is_one_state(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.ones((NUM_ITEMS, WIDTH), dtype=np.float32))
    pair = TowerPair(text=ReadyFeatures(file=str(tmp_path / "text.npy")), image=None)
    assert pair.names == ("text",)
    towers = pair.load(seed=1)
    assert {name: tower.num_blocks for name, tower in towers.present().items()} == {"text": 0}
    batch = ItemBatch(items=torch.arange(2), contents={"text": FeatureBatch(states=torch.ones(2, 1, WIDTH))})
    assert adapted(towers, "iisan")(batch).shape == (2, 8)


def test_features_and_towers_mix(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.ones((NUM_ITEMS, WIDTH), dtype=np.float32))
    pair = TowerPair(text=ReadyFeatures(file=str(tmp_path / "text.npy")), image=IMAGE)
    assert pair.encoders == {"image": IMAGE}
    assert [file.tower for file in pair.feature_files()] == ["text"]
    assert set(pair.preprocessing()) == set(pair.weights_hashes(seed=1)) == {"image", "text"}
    assert {name for name, tower in pair.load(seed=1).present().items() if list(tower.parameters())} == {"image"}


def test_a_file_that_is_not_there_is_named_before_data_is_read(tmp_path: Path) -> None:
    pair = TowerPair(text=ReadyFeatures(file=str(tmp_path / "nowhere.npy")), image=None)
    with pytest.raises(DataError, match=r"nowhere\.npy: cannot be read .* correct towers\.text\.file"):
        pair.feature_files()


def test_a_part_without_a_class_is_a_pretrained_tower() -> None:
    node = {
        "text": {
            "_target_": "peftrec.towers.ready_features.ReadyFeatures",
            "file": "text.npy",
            "missing": "mean",
        },
        "image": {"checkpoint": "somewhere"},
    }
    pair = build_part(TowerPair, node)
    assert pair == TowerPair(
        text=ReadyFeatures(file="text.npy", missing="mean"), image=PretrainedImage(checkpoint="somewhere")
    )
    described = describe_part(pair, TowerPair)
    assert described["text"] == node["text"]
    assert "_target_" not in described["image"]
    assert build_part(TowerPair, described) == pair


def test_features_have_no_tokens_and_no_blocks(pair: TowerPair) -> None:
    tower = pair.load(seed=1).present()["text"]
    refused = (
        lambda: tower.token_states(batch_of(pair).content("text"), (0,)),
        *(tower.visiting, tower.require_blocks, lambda: tower.start_from_stored((1,))),
    )
    for read in refused:
        with pytest.raises(
            SettingsError, match=r"towers\.text: ready features have no tokens .* or a pretrained tower"
        ):
            read()
