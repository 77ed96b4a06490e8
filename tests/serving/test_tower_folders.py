"""A written tower, read again by whoever reads such folders, gives the vectors of the trained one."""

import copy
import functools
import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import peft
import pytest
import torch
import transformers
from peft import PeftConfig
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from packed_vision import packed_outputs
from peftrec.data.batches import ImageBatch
from peftrec.errors import CheckpointError
from peftrec.models.towers import hub
from peftrec.models.towers.tower import Tower
from peftrec.serving.peft_folders import fingerprint, read_adapter
from peftrec.serving.tower_folders import TOLERANCE, TrainedTower
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from small_exports import adapted, inputs_for, lora, site_paths, trained
from small_families import CHECKPOINTS, COMMIT, SIDE, WIDTH, WORDS, Saved, put_into, save_checkpoint

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # peft asks by an old name
]
NOT_AUTOMATIC = {"siglip_text_model", "siglip2_text_model", "qwen3_vl_vision"}
"""What transformers knows, but not by AutoModel."""

TWINS = {
    "clip_pair_image": "clip_pair_text",
    "siglip_pair_text": "siglip_pair_image",
    "deberta_v3": "deberta_v2",
    "naflex_pair_text": "siglip_pair_text",
    "naflex_pair_image": "naflex",
}
"""Checkpoints of the same layout or class as another, which the quick tests look at."""

METHODS: dict[str, Callable[[Tower], PeftConfig]] = {
    "dora": lambda tower: lora(tower, use_dora=True),
    "rslora": lambda tower: lora(tower, use_rslora=True),
    "trained_biases": lambda tower: lora(tower, bias="lora_only"),
    "adalora": lambda tower: peft.AdaLoraConfig(init_r=3, target_r=2, total_step=20, target_modules=site_paths(tower)),
    "ia3": lambda tower: peft.IA3Config(
        target_modules=site_paths(tower, ("key", "value", "ffn_output")),
        feedforward_modules=site_paths(tower, ("ffn_output",)),
    ),
    "oft": lambda tower: peft.OFTConfig(r=0, oft_block_size=4, target_modules=site_paths(tower)),
    "vera": lambda tower: peft.VeraConfig(r=4, target_modules=site_paths(tower)),
    "vblora": lambda tower: peft.VBLoRAConfig(
        r=2, num_vectors=8, vector_length=8, topk=2, target_modules=site_paths(tower)
    ),
    "loha": lambda tower: peft.LoHaConfig(r=2, target_modules=site_paths(tower)),
    "lokr": lambda tower: peft.LoKrConfig(r=2, target_modules=site_paths(tower)),
    "boft": lambda tower: peft.BOFTConfig(boft_block_size=4, target_modules=site_paths(tower)),
    "fourierft": lambda tower: peft.FourierFTConfig(n_frequency=8, target_modules=site_paths(tower)),
    "norms": lambda tower: peft.LNTuningConfig(
        target_modules=[name for name, module in tower.encoder.named_modules() if isinstance(module, nn.LayerNorm)]
    ),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bases")


@functools.cache
def base(places: Path, name: str) -> Saved:
    return save_checkpoint(places / name, name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in TWINS else name for name in CHECKPOINTS]
)
def test_a_merged_tower_of_every_family_is_a_plain_checkpoint(name: str, places: Path, tmp_path: Path) -> None:
    saved = base(places, name)
    inputs = inputs_for(saved)
    tower = adapted(saved.load(), lora(saved.load()))
    before = {key: tensor.clone() for key, tensor in tower.state_dict().items()}
    written = trained(saved, tower).write(tmp_path / "tower", inputs, merges=True)
    assert written.form == "checkpoint"
    assert written.difference is not None
    assert written.difference <= TOLERANCE
    assert all(torch.equal(tensor, before[key]) for key, tensor in tower.state_dict().items())

    model_type = saved.checkpoint.model_type
    plain_class = getattr(transformers, saved.checkpoint.family.model) if model_type in NOT_AUTOMATIC else AutoModel
    plain, loading = plain_class.from_pretrained(tmp_path / "tower", output_loading_info=True)
    assert type(plain) is getattr(transformers, saved.checkpoint.family.model)
    assert not loading["missing_keys"]  # heads of the base came along: none is random
    if isinstance(inputs, ImageBatch) and tower.family.is_packed:
        norm = plain.get_submodule(str(tower.family.norm))
        again = norm(packed_outputs(plain, inputs).last_hidden_state).mean(dim=1)
    else:
        again = Tower(plain, family=tower.family, pooling=tower.pooling, dense=tower.dense).eval()(inputs)
    assert torch.allclose(again, tower(inputs), atol=1e-5)


def test_what_no_vector_depends_on_comes_along_unchanged(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    trained(saved, adapted(saved.load(), lora(saved.load()))).write(tmp_path / "x", inputs_for(saved), merges=True)
    before, after = (load_file(folder / "model.safetensors") for folder in (saved.folder, tmp_path / "x"))
    assert set(before) == set(after)
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved == {f"{path}.weight" for path in site_paths(saved.load())}


@pytest.mark.parametrize(("method", "name"), list(zip(METHODS, itertools.cycle(["bert", "vit"]), strict=False)))
def test_other_methods_of_peft_go_the_same_way(method: str, name: str, places: Path, tmp_path: Path) -> None:
    """Nothing but peft's own classes decides; `write` itself compares what it wrote."""
    saved = base(places, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft doubts whether it can tune a norm
        tower = trained(saved, adapted(saved.load(), METHODS[method](saved.load())))
    for merges, form in ((False, "peft_folder"), (True, "checkpoint")):
        written = tower.write(tmp_path / form, inputs_for(saved), merges=merges)
        assert written.form == form
        assert written.num_parameters > 0


@torch.no_grad()
@pytest.mark.parametrize("name", ["bert", "vit"])
def test_an_adapter_on_rounded_weights_is_one_for_them(name: str, places: Path, tmp_path: Path) -> None:
    """Read on the checkpoint's own weights its vectors are others; merged, the weights are float32 and its own."""
    saved = base(places, name)
    source = saved.settings(weights="int8")
    tower = adapted(saved.load(weights="int8"), lora(saved.load()))
    rounded = TrainedTower(name=saved.modality, tower=tower, source=source, seed=0)
    inputs = inputs_for(saved)
    folder = rounded.write(tmp_path / "adapter", inputs, merges=False)
    assert (folder.form, folder.is_rounded) == ("peft_folder", True)
    plain = read_adapter(saved.load(), tmp_path / "adapter")
    difference = float((plain(inputs) - tower(inputs)).abs().max() / tower(inputs).abs().max())
    assert TOLERANCE < difference < 0.1
    own = saved.load()
    with pytest.raises(CheckpointError, match="trained on another tower"):
        read_adapter(own, tmp_path / "adapter", base_fingerprint=fingerprint(own.encoder))
    merged = rounded.write(tmp_path / "merged", inputs, merges=True)
    assert (merged.form, merged.is_rounded) == ("checkpoint", True)
    again = Tower(AutoModel.from_pretrained(tmp_path / "merged"), family=tower.family, pooling=tower.pooling).eval()
    assert torch.allclose(again(inputs), tower(inputs), atol=1e-5)


def test_rounded_weights_whose_biases_trained_are_a_checkpoint(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    tower = saved.load(weights="int8")
    with torch.no_grad():
        for name, parameter in tower.requires_grad_(False).named_parameters():
            if name.endswith(".bias"):
                parameter.requires_grad_(True).add_(0.1)
    rounded = TrainedTower(name="text", tower=tower, source=saved.settings(weights="int8"), seed=0)
    written = rounded.write(tmp_path / "tower", inputs_for(saved), merges=False)
    assert (written.form, written.is_rounded) == ("checkpoint", True)


def test_a_method_that_peft_cannot_merge_says_so(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    tower = trained(saved, adapted(saved.load(), peft.LilyConfig(r=2, target_modules=site_paths(saved.load()))))
    with pytest.raises(CheckpointError, match=r"peft cannot merge LILY into the text tower.*leave it out"):
        tower.write(tmp_path / "x", inputs_for(saved), merges=True)
    assert tower.write(tmp_path / "y", inputs_for(saved), merges=False).form == "peft_folder"


def test_a_start_that_changes_pretrained_weights_is_no_adapter_folder(places: Path, tmp_path: Path) -> None:
    """PiSSA subtracts what it puts into the adapter; on a shared tower all other adapters would read the rest."""
    saved = base(places, "bert")
    tower = trained(saved, adapted(saved.load(), lora(saved.load(), init_lora_weights="pissa")))
    with pytest.raises(CheckpointError, match=r"text tower has no adapter folder.*merge=true"):
        tower.write(tmp_path / "x", inputs_for(saved), merges=False)
    assert tower.write(tmp_path / "y", inputs_for(saved), merges=True).form == "checkpoint"


def test_pretrained_tensors_that_moved_beside_an_adapter_are_not_lost_in_silence(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    tower = adapted(saved.load(), lora(saved.load()))
    with torch.no_grad():
        tower.encoder.embeddings.LayerNorm.weight.add_(0.5)
    with pytest.raises(CheckpointError, match=r"gives other vectors.*try merge=true"):
        trained(saved, tower).write(tmp_path / "x", inputs_for(saved), merges=False)
    assert trained(saved, tower).write(tmp_path / "y", inputs_for(saved), merges=True).form == "checkpoint"


def test_forms_are_told_from_what_is_in_the_tower(places: Path) -> None:
    saved = base(places, "bert")
    plain = saved.load()
    frozen = saved.load().requires_grad_(False)
    wrapped = saved.load()
    layer = wrapped.encoder.get_submodule(site_paths(wrapped)[0])
    wrapped.encoder.set_submodule(site_paths(wrapped)[0], nn.Sequential(layer, nn.Linear(WIDTH, WIDTH)))
    forms = {
        "checkpoint": plain,
        "untouched": frozen,
        "introduced": wrapped,
        "peft_folder": adapted(saved.load(), lora(plain)),
    }
    for form, tower in forms.items():
        assert trained(saved, tower).form() == form
    assert trained(saved, wrapped).own_modules(wrapped.encoder) == ["Sequential"]


def test_a_base_from_the_hub_is_named_with_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub.snapshot.cache_clear()
    saved = save_checkpoint(tmp_path / "bert", "bert")
    inputs = inputs_for(saved)
    put_into(tmp_path / "hub", "someone/small", saved.folder)
    source = PretrainedText(checkpoint="someone/small", revision=COMMIT)
    tower = adapted(source.load("text", seed=0), lora(source.load("text", seed=0)))
    in_run = TrainedTower(name="text", tower=tower, source=source, seed=0)
    for merges in (False, True):
        written = in_run.write(tmp_path / str(merges), inputs, merges=merges)
        assert (written.base_name, written.base_revision) == ("someone/small", COMMIT)
    config = json.loads((tmp_path / "False" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("someone/small", COMMIT)


def test_a_checkpoint_brings_its_tokenizer(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    trained(saved, saved.load()).write(tmp_path / "x", inputs_for(saved), merges=False)
    titles = [" ".join(WORDS[:3]), WORDS[5]]
    expected = AutoTokenizer.from_pretrained(saved.folder)(titles)["input_ids"]
    assert AutoTokenizer.from_pretrained(tmp_path / "x")(titles)["input_ids"] == expected
    source = saved.settings()
    assert isinstance(source, PretrainedText)
    again = PretrainedText(checkpoint=str(tmp_path / "x"))
    assert again.preprocessing() == source.preprocessing()


def test_a_checkpoint_brings_an_image_processor_that_does_what_the_run_did(places: Path, tmp_path: Path) -> None:
    """Pixels of transformers' own processor, of the run's transform, and of the written folder's are equal."""
    saved = base(places, "dinov2")
    trained(saved, saved.load()).write(tmp_path / "x", inputs_for(saved), merges=False)
    source = saved.settings()
    assert isinstance(source, PretrainedImage)
    transform = source.transform()
    assert PretrainedImage(checkpoint=str(tmp_path / "x")).transform() == transform
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    found = AutoImageProcessor.from_pretrained(tmp_path / "x")(images=image, return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (transform.mean, transform.std))
    expected = (torch.from_numpy(transform.pixels(image)) / 255 - mean) / std
    assert torch.allclose(found, expected, atol=1e-6)


def test_fitted_positions_are_written_at_their_size(places: Path, tmp_path: Path) -> None:
    saved = base(places, "dinov2")  # made for images of 48 pixels, read at 16
    tower = saved.load()
    trained(saved, tower).write(tmp_path / "x", inputs_for(saved), merges=False)
    plain = AutoModel.from_pretrained(tmp_path / "x")
    assert plain.config.image_size == SIDE
    assert torch.equal(plain.embeddings.position_embeddings, tower.encoder.embeddings.position_embeddings)


def test_a_tower_in_bfloat16_is_written_in_float32(places: Path, tmp_path: Path) -> None:
    saved = base(places, "bert")
    tower = adapted(saved.load(), lora(saved.load())).to(torch.bfloat16)
    for merges in (False, True):
        folder = tmp_path / str(merges)
        assert trained(saved, copy.deepcopy(tower)).write(folder, inputs_for(saved), merges=merges).num_parameters
        (file,) = folder.glob("*.safetensors")
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float32}
