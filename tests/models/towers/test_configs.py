"""A checkpoint's config: what no encoder can have is one error that names file and field; nothing is built of it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from peftrec.errors import SettingsError
from peftrec.models.towers.configs import MOST_BLOCKS
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_families import CHECKPOINTS, Saved, save_checkpoint

NO_CONFIG = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[1]",
    "null": b"null",
    "a number": b"3",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 800\n",
    "a web page": b"<!DOCTYPE html><html></html>",
}
WRONG: dict[str, list[tuple[str, Any]]] = {
    "bert": [
        ("num_hidden_layers", 0),
        ("num_hidden_layers", MOST_BLOCKS + 1),
        ("num_attention_heads", 0),
        ("num_attention_heads", 3),
        ("num_attention_heads", -1),
        ("hidden_size", None),
        ("hidden_size", "12"),
        ("vocab_size", 2**70),
        ("hidden_dropout_prob", 1.5),
        ("layer_norm_eps", float("nan")),
        ("hidden_act", "x"),
        ("type_vocab_size", 0),
        ("add_cross_attention", True),
        ("dtype", "x"),
    ],
    "distilbert": [("n_layers", 0), ("n_heads", 0), ("dim", 2.5), ("hidden_dim", 0)],
    "vit": [("patch_size", 0), ("patch_size", 17), ("patch_size", [8]), ("num_channels", 1), ("image_size", [])],
    "deit": [("attention_probs_dropout_prob", -1)],
    "dinov2": [("num_hidden_layers", 2**70), ("mlp_ratio", 0), ("image_size", 2**20)],
    "clip_pair_image": [("vision_config", {"num_attention_heads": 0}), ("vision_config", {"model_type": []})],
}
"""By the checkpoint, fields as its file calls them."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    return {name: save_checkpoint(tmp_path_factory.mktemp(name), name) for name in CHECKPOINTS}


@pytest.fixture
def changing(request: pytest.FixtureRequest, saved: dict[str, Saved]) -> Any:
    """Return what writes a checkpoint's config.json, which is put back afterwards."""

    def change(name: str, content: bytes | dict[str, Any]) -> Saved:
        file = saved[name].folder / "config.json"
        before = file.read_bytes()
        request.addfinalizer(lambda: file.write_bytes(before))
        changed = content if isinstance(content, bytes) else json.dumps(json.loads(before) | content).encode()
        file.write_bytes(changed)
        return saved[name]

    return change


@pytest.mark.parametrize("name", NO_CONFIG)
def test_a_file_that_is_no_config_is_named(changing: Any, name: str) -> None:
    bert = changing("bert", NO_CONFIG[name])
    with pytest.raises(SettingsError, match=r"^towers\.text\.checkpoint: .*config\.json") as caught:
        bert.settings().num_blocks("text")
    if name == "Git LFS":
        assert "run `git lfs pull`" in str(caught.value)


@pytest.mark.parametrize(("name", "field", "value"), [(name, *each) for name, all_ in WRONG.items() for each in all_])
def test_a_field_that_no_encoder_can_have(changing: Any, name: str, field: str, value: object) -> None:
    checkpoint = changing(name, {field: value})
    with pytest.raises(SettingsError, match=rf"^towers\.{checkpoint.modality}"):
        checkpoint.settings().load(checkpoint.modality, seed=0)


def test_a_size_names_file_and_field_as_the_file_calls_it(changing: Any) -> None:
    distilbert = changing("distilbert", {"n_layers": 0})
    with pytest.raises(SettingsError, match=r"distilbert\d*/config\.json: n_layers is 0, and must be from 1 to 256; c"):
        distilbert.settings().num_blocks("text")
    vit = changing("vit", {"patch_size": 17})
    with pytest.raises(
        SettingsError, match=r"config\.json: patch_size is 17, and must be no larger than the image, 16"
    ):
        vit.settings().num_blocks("image")


def test_an_architecture_is_held_to_the_same() -> None:
    text = PretrainedText(architecture={"model_type": "bert", "num_attention_heads": 0}, random_init=True)
    with pytest.raises(
        SettingsError, match=r"towers\.text\.architecture: num_attention_heads is 0, and must be from 1"
    ):
        text.num_blocks("text")
    image = PretrainedImage(architecture={"model_type": "vit", "patch_size": 500}, random_init=True)
    with pytest.raises(SettingsError, match=r"towers\.image\.architecture: patch_size is 500"):
        image.transform()


def test_no_image_is_smaller_than_a_patch(saved: dict[str, Saved]) -> None:
    with pytest.raises(SettingsError, match=r"image_size: images come at 4 x 4 and one patch of the encoder is 8 x 8"):
        saved["dinov2"].settings(image_size=4).load("image", seed=0)


ODD: list[Any] = [None, "x", 0, -1, 2.5, 2**70, 1e308, float("nan"), True, [], [3], [8, 8], {}, {"a": 1}, 7, 2**20]


def test_any_value_under_any_key_is_read_or_refused(saved: dict[str, Saved], changing: Any) -> None:
    """A sample of all: families, keys, values."""
    rng = random.Random(7)
    refused: list[tuple[str, str, str, object]] = []
    keys = {name: sorted(json.loads((each.folder / "config.json").read_text())) for name, each in saved.items()}
    for _ in range(150):
        name = rng.choice(sorted(saved))
        field, value = rng.choice(keys[name]), rng.choice(ODD)
        file: Path = saved[name].folder / "config.json"
        before = file.read_bytes()
        try:
            checkpoint = changing(name, {field: value})
            settings = checkpoint.settings()
            assert settings.num_blocks(checkpoint.modality) >= 1
            assert settings.load(checkpoint.modality, seed=0, with_weights=False).width >= 1
        except SettingsError as error:
            refused.append((str(error), name, field, value))
        finally:
            file.write_bytes(before)
    assert refused
    assert [each for each in refused if not each[0].startswith("towers.")] == []
