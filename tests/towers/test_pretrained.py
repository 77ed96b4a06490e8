"""Loading: what a checkpoint gives, what random weights are, and errors that name the key."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    BertTokenizer,
    DeiTImageProcessorPil,
    PreTrainedTokenizerFast,
    ViTImageProcessorPil,
)

from peftrec.errors import SettingsError
from peftrec.models.towers.families import FAMILIES
from peftrec.tiny_towers.vocabulary import build_tokenizer
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
BERT: dict[str, Any] = {"model_type": "bert", "vocab_size": 600, "max_position_embeddings": 40, **SIZES}
VIT: dict[str, Any] = {"model_type": "vit", "image_size": 16, "patch_size": 8, **SIZES}


def save(folder: Path, architecture: dict[str, Any], **arguments: Any) -> Path:
    config = AutoConfig.for_model(**architecture)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder, **arguments)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp("bert"), BERT)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("vit"), VIT)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.state_dict())


def are_equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_gives_its_weights_and_no_pooler(bert: Path) -> None:
    tower = PretrainedText(checkpoint=str(bert)).load("text", seed=0)
    stored = AutoModel.from_pretrained(bert)
    expected = {name: tensor for name, tensor in stored.state_dict().items() if not name.startswith("pooler.")}
    assert len(expected) < len(stored.state_dict()), "the checkpoint has a pooler"
    found = tower.encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_half_precision_checkpoints_load_as_float32(tmp_path: Path) -> None:
    model = AutoModel.from_config(AutoConfig.for_model(**BERT)).half()
    model.save_pretrained(tmp_path)
    tower = PretrainedText(checkpoint=str(tmp_path)).load("text", seed=0)
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.float32}
    name, found = next(iter(tower.encoder.named_parameters()))
    assert torch.equal(found, model.get_parameter(name).float())


@pytest.mark.parametrize("is_random", [False, True])
def test_without_weights_a_tower_has_the_same_shapes_and_no_memory(bert: Path, is_random: bool) -> None:
    encoder = PretrainedText(checkpoint=str(bert), random_init=is_random)
    shapes = encoder.load("text", seed=0, with_weights=False)
    whole = encoder.load("text", seed=0)
    assert {name: tensor.shape for name, tensor in shapes.named_parameters()} == {
        name: tensor.shape for name, tensor in whole.named_parameters()
    }
    assert {tensor.device.type for tensor in shapes.parameters()} == {"meta"}
    assert (shapes.width, shapes.num_blocks) == (whole.width, whole.num_blocks)


def test_random_weights_follow_the_seed_and_leave_the_random_state_alone(bert: Path) -> None:
    encoder = PretrainedText(checkpoint=str(bert), random_init=True)
    state = torch.random.get_rng_state()
    first = encoder.load("text", seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert are_equal(first, encoder.load("text", seed=1))
    assert not are_equal(first, encoder.load("text", seed=2))
    assert not are_equal(first, PretrainedText(checkpoint=str(bert)).load("text", seed=1))
    assert are_equal(first, PretrainedText(architecture=BERT, random_init=True).load("text", seed=1))


def text_hash(folder: Path, **settings: Any) -> str:
    return PretrainedText(checkpoint=str(folder), **settings).weights_hash("text", seed=0)


def change_one_weight(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[3, 5] += 1e-6
    model.save_pretrained(folder)


def test_the_weights_hash_follows_weights_and_config_but_not_the_path(bert: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bert, tmp_path / "copy"))
    assert text_hash(copy) == text_hash(bert)
    changed = Path(shutil.copytree(bert, tmp_path / "changed"))
    change_one_weight(changed)
    assert text_hash(changed) != text_hash(bert)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    assert text_hash(copy) != text_hash(bert)


def test_the_weights_hash_reads_every_shard(tmp_path: Path) -> None:
    for name in ("one", "other"):
        save(tmp_path / name, BERT, max_shard_size="20KB")
    assert len(list((tmp_path / "one").glob("*.safetensors"))) > 1
    first = text_hash(tmp_path / "one")
    assert first == text_hash(tmp_path / "other")
    for shard in sorted((tmp_path / "other").glob("*.safetensors")):
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert text_hash(tmp_path / "other") != first, shard.name
        shard.write_bytes(whole)
    assert text_hash(tmp_path / "other") == first


def test_random_weights_are_hashed_by_config_and_seed(bert: Path) -> None:
    def hashed(architecture: dict[str, Any], seed: int) -> str:
        return PretrainedText(architecture=architecture, random_init=True).weights_hash("text", seed=seed)

    assert hashed(BERT, 0) == hashed(dict(BERT), 0)
    different = [hashed(BERT, 0), hashed(BERT, 1), hashed(BERT | {"hidden_size": 32}, 0), text_hash(bert)]
    assert len(set(different)) == len(different)


def test_an_unknown_family_lists_the_known_ones() -> None:
    for kind in (PretrainedText, PretrainedImage):
        encoder = kind(architecture={"model_type": "gpt2"}, random_init=True)
        with pytest.raises(SettingsError, match=rf"towers\.{kind.reads}: model type 'gpt2'") as caught:
            encoder.load(kind.reads, seed=0)
        known = {name for name, family in FAMILIES.items() if family.modality == kind.reads}
        assert all(name in str(caught.value) for name in known)


def test_a_text_encoder_is_no_image_tower() -> None:
    with pytest.raises(SettingsError, match=r"towers\.image: model type 'bert' is not a supported image encoder"):
        PretrainedImage(architecture=BERT, random_init=True).load("image", seed=0)
    with pytest.raises(SettingsError, match=r"towers\.text: model type 'vit' is not a supported text encoder"):
        PretrainedText(architecture=VIT, random_init=True).load("text", seed=0)


def test_an_architectures_typo_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"towers\.text\.architecture: hiden_size is no key of BertConfig"):
        PretrainedText(architecture=BERT | {"hiden_size": 8}, random_init=True).load("text", seed=0)
    with pytest.raises(SettingsError, match=r"towers\.text\.architecture: .*hidden_size"):
        PretrainedText(architecture=BERT | {"hidden_size": "wide"}, random_init=True).load("text", seed=0)


def test_a_half_of_a_pairs_architecture_can_be_taken() -> None:
    pair = {
        "model_type": "clip",
        "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    }
    tower = PretrainedImage(architecture=pair, random_init=True).load("image", seed=0, with_weights=False)
    assert (tower.width, tower.num_blocks, tower.family.model) == (32, 2, "CLIPVisionModel")


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_checkpoint_of_an_unknown_family_is_refused_by_name(bert: Path, tmp_path: Path) -> None:
    """Code that a repository brings is never run, and transformers never asks whether to."""
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    change_config(folder, model_type="very-new", auto_map={"AutoConfig": "modelling.Config"})
    with pytest.raises(SettingsError, match=r"model type 'very-new' is not a supported text encoder"):
        PretrainedText(checkpoint=str(folder)).load("text", seed=0)


def test_a_broken_config_is_one_error(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    change_config(folder, hidden_size="wide")
    with pytest.raises(SettingsError, match=r"towers\.text\.checkpoint: its config cannot be read: .*hidden_size"):
        PretrainedText(checkpoint=str(folder)).load("text", seed=0)
    (folder / "config.json").write_text("{")
    with pytest.raises(SettingsError, match=r"towers\.text\.checkpoint: its config cannot be read"):
        PretrainedText(checkpoint=str(folder)).load("text", seed=0)


def test_titles_longer_than_the_table_of_positions_are_refused(bert: Path) -> None:
    assert PretrainedText(checkpoint=str(bert), max_tokens=40).tokenise(["a"]).lengths().tolist() == [3]
    with pytest.raises(SettingsError, match=r"towers\.text\.max_tokens: 41 is more than the 40 positions"):
        PretrainedText(checkpoint=str(bert), max_tokens=41).tokenise(["a"])
    roberta = {"model_type": "roberta", "vocab_size": 600, "max_position_embeddings": 40, **SIZES}
    text = PretrainedText(architecture=roberta, random_init=True, tokenizer=str(bert), max_tokens=39)
    with pytest.raises(SettingsError, match=r"39 is more than the 38 positions"):
        text.tokenise(["a"])


def test_a_tokenizer_of_another_encoder_is_refused(bert: Path) -> None:
    small = PretrainedText(architecture=BERT | {"vocab_size": 20}, random_init=True, tokenizer=str(bert))
    with pytest.raises(SettingsError, match=r"towers\.text\.tokenizer: it gives token \d+ and the encoder knows 20"):
        small.tokenise(["red lamp"])
    with pytest.raises(SettingsError, match=r"towers\.text\.tokenizer: an architecture has none of its own"):
        PretrainedText(architecture=BERT, random_init=True).tokenise(["red lamp"])


def test_the_tokenizers_files_are_part_of_the_preprocessing(bert: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bert, tmp_path / "copy"))
    described = PretrainedText(checkpoint=str(bert)).preprocessing()
    assert PretrainedText(checkpoint=str(copy)).preprocessing() == described
    file = copy / "tokenizer.json"
    file.write_text(file.read_text().replace('"lamp"', '"lump"'))
    assert PretrainedText(checkpoint=str(copy)).preprocessing() != described
    own = PretrainedText(architecture=BERT, random_init=True, tokenizer=str(bert))
    assert own.preprocessing() == described


def test_a_title_without_a_token_is_refused(bert: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(tmp_path)
    text = PretrainedText(architecture=BERT, random_init=True, tokenizer=str(tmp_path))
    with pytest.raises(SettingsError, match=r"towers\.text\.tokenizer: it gives title 1 no token"):
        text.tokenise(["a", ""])


@pytest.mark.parametrize(
    "settings", [{}, {"checkpoint": "a", "architecture": BERT, "random_init": True}, {"architecture": BERT}]
)
def test_contradicting_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        PretrainedText(**settings)


def test_titles_become_the_tokenizers_ids(bert: Path) -> None:
    titles = ["Red STEEL lamp", "", "zzyzx " * 40, "a b c"]
    tokenizer: BertTokenizer = build_tokenizer()
    found = PretrainedText(checkpoint=str(bert), max_tokens=12).tokenise(titles)
    for title, ids in zip(titles, (found.token_ids[a:b] for a, b in _bounds(found.offsets)), strict=True):
        assert ids.tolist() == tokenizer(title.lower(), truncation=True, max_length=12)["input_ids"]
    assert found.lengths().max() == 12
    assert found.padding_id == tokenizer.pad_token_id


def test_a_prompt_stands_before_every_title(bert: Path) -> None:
    """As it is, beside a title in small letters; and a store of other prompts is another store."""
    tokenizer: BertTokenizer = build_tokenizer()
    text = PretrainedText(checkpoint=str(bert), max_tokens=12, prompt="red lamp: ")
    found = text.tokenise(["Blue CHAIR", ""])
    for title, (start, end) in zip(["blue chair", ""], _bounds(found.offsets), strict=True):
        ids = tokenizer(f"red lamp: {title}", truncation=True, max_length=12)["input_ids"]
        assert found.token_ids[start:end].tolist() == ids
    plain = PretrainedText(checkpoint=str(bert), max_tokens=12)
    assert text.preprocessing() == f"{plain.preprocessing()} prompt='red lamp: '"
    with pytest.raises(SettingsError, match=r"towers\.text\.prompt: it takes \d+ tokens and leaves none to a title"):
        PretrainedText(checkpoint=str(bert), max_tokens=4, prompt="red lamp red lamp").tokenise(["a"])


def _bounds(offsets: Any) -> list[tuple[int, int]]:
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))


def test_the_tokenizer_may_lie_elsewhere_and_case_may_count(bert: Path, tmp_path: Path) -> None:
    vocabulary = {token: place for place, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "A"])}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(tmp_path)
    lower = PretrainedText(checkpoint=str(bert), tokenizer=str(tmp_path))
    exact = PretrainedText(checkpoint=str(bert), tokenizer=str(tmp_path), lower_case=False)
    assert lower.tokenise(["A a"]).token_ids.tolist() == [2, 5, 5, 3]
    assert exact.tokenise(["A a"]).token_ids.tolist() == [2, 6, 5, 3]
    described = {lower.preprocessing(), exact.preprocessing(), PretrainedText(checkpoint=str(bert)).preprocessing()}
    assert len(described) == 3


def test_size_and_normalisation_are_the_processors(vit: Path) -> None:
    ViTImageProcessorPil(
        size={"height": 16, "width": 16}, resample=3, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6]
    ).save_pretrained(vit)
    transform = PretrainedImage(checkpoint=str(vit)).transform()
    assert (transform.height, transform.width, transform.resampling) == (16, 16, "bicubic")
    assert (transform.mean, transform.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    given = PretrainedImage(checkpoint=str(vit), image_size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)).transform()
    assert (given.height, given.width, given.mean, given.std) == (16, 16, (0.0,) * 3, (1.0,) * 3)
    assert given.resampling == "bilinear", "the family's own, where no processor is read"
    assert PretrainedImage(checkpoint=str(vit), resampling="lanczos").transform().resampling == "lanczos"


def test_a_size_that_the_encoder_does_not_take_is_refused(vit: Path) -> None:
    with pytest.raises(SettingsError, match=r"towers\.image\.image_size: images come at 8 x 8 and .* takes 16 x 16"):
        PretrainedImage(checkpoint=str(vit), image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3).transform()


def test_a_processor_that_crops_gives_the_size_after_it(vit: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(vit, tmp_path / "copy"))
    DeiTImageProcessorPil(size={"height": 20, "width": 20}, crop_size={"height": 16, "width": 16}).save_pretrained(
        folder
    )
    transform = PretrainedImage(checkpoint=str(folder)).transform()
    assert (transform.height, transform.width, transform.cropped_from) == (16, 16, (20, 20))
    whole = PretrainedImage(checkpoint=str(folder), fit="whole").transform()
    assert whole == replace(transform, cropped_from=None)
    assert PretrainedImage(checkpoint=str(folder), image_size=16).transform() == whole
    described = {PretrainedImage(checkpoint=str(folder), fit=fit).preprocessing() for fit in ("processor", "whole")}
    assert len(described) == 2, "a store of the one is not read by the other"


@pytest.mark.parametrize("size", [16, {"shortest_edge": 16}, {"height": 16, "width": 16}])
def test_older_spellings_of_the_size_are_read(vit: Path, tmp_path: Path, size: Any) -> None:
    folder = Path(shutil.copytree(vit, tmp_path / "copy"))
    described = {"image_processor_type": "ViTImageProcessor", "size": size, "image_mean": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    transform = PretrainedImage(checkpoint=str(folder)).transform()
    assert (transform.height, transform.width) == (16, 16)
    assert transform.std == (0.5, 0.5, 0.5)


def test_an_architecture_has_the_size_of_its_config_and_the_published_normalisation() -> None:
    transform = PretrainedImage(architecture=VIT, random_init=True).transform()
    assert (transform.height, transform.width) == (16, 16)
    assert transform.mean == transform.std == (0.5, 0.5, 0.5)


def test_a_pair_holds_the_towers_it_names() -> None:
    text = PretrainedText(architecture=BERT, random_init=True)
    image = PretrainedImage(architecture=VIT, random_init=True)
    for pair, modalities in [
        (TowerPair(text=text, image=image), ("image", "text")),
        (TowerPair(text=text, image=None), ("text",)),
        (TowerPair(text=None, image=image), ("image",)),
        (TowerPair(text=None, image=None), ()),
    ]:
        assert pair.names == modalities
        assert tuple(pair.load(seed=0).present()) == modalities
        assert set(pair.preprocessing()) == set(pair.weights_hashes(seed=0)) == set(modalities)
    pair = TowerPair(text=text, image=image)
    assert pair.weights_hashes(seed=0) != pair.weights_hashes(seed=1)
