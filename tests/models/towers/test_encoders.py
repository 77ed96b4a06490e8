"""What is wrong with weights themselves is said when they are loaded, and no learning rate is blamed for it later."""

import json
from pathlib import Path

import pytest
import torch

from peftrec.errors import SettingsError
from small_families import Saved, save_checkpoint


@pytest.fixture
def bert(tmp_path: Path) -> Saved:
    return save_checkpoint(tmp_path / "bert", "bert")


def load(saved: Saved) -> str:
    with pytest.raises(SettingsError) as caught:
        saved.settings().load(saved.modality, seed=0)
    return str(caught.value)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_numbers_of_the_checkpoint_that_are_not_finite_are_its_own(bert: Saved, number: float) -> None:
    with torch.no_grad():
        bert.reference.get_parameter("encoder.layer.1.output.dense.weight")[3, 5] = number
    bert.reference.save_pretrained(bert.folder)
    message = load(bert)
    assert "towers.text.checkpoint: the checkpoint's own weights" in message
    assert "not finite, in encoder.layer.1.output.dense.weight; take" in message


def test_weights_that_make_numbers_too_large_are_not_the_learning_rates_fault(bert: Saved) -> None:
    with torch.no_grad():
        bert.reference.get_parameter("encoder.layer.1.attention.self.query.weight").fill_(3e38)
    bert.reference.save_pretrained(bert.folder)
    assert "makes numbers of an item that are not finite, before any training" in load(bert)


def test_weights_of_other_shapes_are_named(bert: Saved) -> None:
    file = bert.folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 20}))
    message = load(bert)
    assert message.startswith("towers.text.checkpoint: 9 tensors of the weights in ")
    assert "have other shapes than its config.json says (encoder.layer.0.intermediate.dense.bias" in message


def test_a_config_of_a_larger_encoder_takes_no_memory(bert: Saved) -> None:
    """An embedding table of sixteen million rows would be made before its shape is compared."""
    file = bert.folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"vocab_size": 2**24, "hidden_size": 2**24}))
    message = load(bert)
    assert "a BertModel by" in message
    assert "bytes; the two do not belong together: copy both again" in message


def test_published_families_encode_an_item(tmp_path: Path) -> None:
    """What is refused above is none of these."""
    for name in ("roberta", "siglip_pair_text", "clip_pair_image", "dinov2"):
        save_checkpoint(tmp_path / name, name).load()
