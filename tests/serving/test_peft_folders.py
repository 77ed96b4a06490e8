"""Adapter folders are peft's own: it reads them without this package, and they belong to one tower."""

import json
from pathlib import Path

import peft
import pytest
import torch
from peft import AutoPeftModel, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from peftrec.errors import CheckpointError
from peftrec.models.towers.tower import Tower
from peftrec.serving.peft_folders import (
    ADAPTER,
    as_peft_model,
    fingerprint,
    read_adapter,
    sharing_tensors,
    write_adapter,
)
from peftrec.towers.pretrained import PretrainedText
from small_exports import adapted, inputs_for, lora, site_paths
from small_families import NUM_BLOCKS, WIDTH, Saved, save_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by an old name
ALL_DENSE = ("query", "key", "value", "attention_output", "ffn_input", "ffn_output")


@pytest.fixture(scope="module", params=["bert", "vit", "clip_pair_text", "dinov2"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp("base") / request.param, request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return save_checkpoint(tmp_path_factory.mktemp("base") / "bert", "bert")


def write(saved: Saved, tower: Tower, folder: Path) -> int:
    base = saved.load()
    identity = fingerprint(base.encoder)
    model = as_peft_model(tower.encoder, base.encoder)
    return write_adapter(model, folder, base_fingerprint=identity, base_name=str(saved.folder.resolve()), revision=None)


def test_plain_peft_loads_the_folder(saved: Saved, tmp_path: Path) -> None:
    """By the class that transformers gives the base, heads and all, and by peft's own automatic class."""
    tower = adapted(saved.load(), lora(saved.load()))
    write(saved, tower, tmp_path)
    inputs = inputs_for(saved)
    expected = tower(inputs)
    plain_class = type(saved.reference)
    for model in (
        PeftModel.from_pretrained(plain_class.from_pretrained(saved.folder), str(tmp_path)),
        AutoPeftModel.from_pretrained(str(tmp_path)),
    ):
        inner = model.get_base_model()
        assert type(inner) is plain_class
        again = Tower(inner, family=tower.family, pooling=tower.pooling).eval()
        assert torch.allclose(again(inputs), expected, atol=1e-5)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(site_paths(saved.load()))
    assert config["auto_mapping"]["base_model_class"] == plain_class.__name__
    assert sorted(file.name for file in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_names_of_targets_cannot_match_a_head_that_the_tower_left_out(bert: Saved, tmp_path: Path) -> None:
    """All dense layers of the tower, shortened, would be `dense`, and that is in the pooler too."""
    base = bert.load()
    tower = adapted(bert.load(), lora(base, target_modules=site_paths(base, ALL_DENSE)))
    write(bert, tower, tmp_path)
    plain = AutoModel.from_pretrained(bert.folder)
    assert plain.pooler is not None
    model = PeftModel.from_pretrained(plain, str(tmp_path))
    names = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
    assert len(names) == len(ALL_DENSE) * NUM_BLOCKS
    assert not any("pooler" in name for name in names)


def test_keys_and_count_are_those_of_the_method(bert: Saved, tmp_path: Path) -> None:
    rank = 3
    tower = adapted(bert.load(), lora(bert.load(), r=rank))
    count = write(bert, tower, tmp_path)
    assert count == 2 * 2 * NUM_BLOCKS * WIDTH * rank  # A and B; query and value
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert set(tensors) == {
        f"base_model.model.{path}.lora_{side}.weight" for path in site_paths(bert.load()) for side in "AB"
    }


@pytest.mark.parametrize(("width", "num_blocks", "expected"), [(768, 12, 294_912), (1024, 24, 786_432)])
def test_published_counts_of_roberta(width: int, num_blocks: int, expected: int) -> None:
    """Hu et al., table 2: RoBERTa-base 0.3M, large 0.8M at rank 8 on query and value. Shapes only."""
    source = PretrainedText(
        architecture={
            "model_type": "roberta",
            "hidden_size": width,
            "num_hidden_layers": num_blocks,
            "num_attention_heads": width // 64,
            "intermediate_size": 4 * width,
        },
        random_init=True,
    )
    tower, base = (source.load("text", seed=0, with_weights=False) for _ in range(2))
    peft.inject_adapter_in_model(lora(tower, r=8), tower.encoder)
    model = as_peft_model(tower.encoder, base.encoder)
    exported = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    assert sum(tensor.numel() for tensor in exported.values()) == expected


def test_reading_shares_the_base_and_leaves_it_alone(bert: Saved, tmp_path: Path) -> None:
    base = bert.load()
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in base.state_dict().items()}
    tower = adapted(bert.load(), lora(base))
    write(bert, tower, tmp_path)
    again = read_adapter(base, tmp_path, base_fingerprint=fingerprint(base.encoder))
    inputs = inputs_for(bert)
    assert torch.equal(again(inputs), tower(inputs))
    shared = {name.replace(".base_layer", ""): tensor for name, tensor in again.state_dict().items()}
    for name, (place, value) in before.items():
        assert shared[name].data_ptr() == place
        assert torch.equal(base.state_dict()[name], value)
    assert all(parameter.requires_grad for parameter in base.parameters())
    assert torch.equal(base(inputs), bert.load()(inputs))


def test_a_structure_is_copied_and_its_tensors_are_not(bert: Saved) -> None:
    encoder = bert.load().encoder
    copied = sharing_tensors(encoder)
    assert all(new is not old for new, old in zip(copied.modules(), encoder.modules(), strict=True))
    states = zip(copied.state_dict().items(), encoder.state_dict().items(), strict=True)
    assert all(new[0] == old[0] and new[1].data_ptr() == old[1].data_ptr() for new, old in states)


def test_a_fingerprint_knows_values_and_shapes_alone(bert: Saved) -> None:
    encoder = bert.load().encoder
    first = fingerprint(encoder)
    assert first == fingerprint(sharing_tensors(encoder)) == fingerprint(bert.load().encoder)
    with torch.no_grad():
        next(encoder.parameters()).flatten()[0] += 1e-6
    assert fingerprint(encoder) != first


def test_an_adapter_of_another_tower_is_refused(bert: Saved, tmp_path: Path) -> None:
    write(bert, adapted(bert.load(), lora(bert.load())), tmp_path)
    other = bert.load()
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    with pytest.raises(CheckpointError, match="trained on another tower"):
        read_adapter(other, tmp_path, base_fingerprint=fingerprint(other.encoder))


def test_an_adapter_of_another_shape_is_refused_without_a_fingerprint(bert: Saved, tmp_path: Path) -> None:
    write(bert, adapted(bert.load(), lora(bert.load())), tmp_path)
    vit = save_checkpoint(tmp_path / "vit", "vit").load()
    with pytest.raises(CheckpointError, match="does not fit this ViTModel"):
        read_adapter(vit, tmp_path)
    heads = {"num_hidden_layers": NUM_BLOCKS, "num_attention_heads": 2}
    wide = PretrainedText(architecture={"model_type": "bert", "hidden_size": 2 * WIDTH, **heads}, random_init=True)
    with pytest.raises(CheckpointError, match=r"does not fit this BertModel: .*size mismatch"):
        read_adapter(wide.load("text", seed=0), tmp_path)


def test_a_folder_that_is_not_whole_is_refused(bert: Saved, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no adapter_config.json and no adapter_model.safetensors"):
        read_adapter(bert.load(), tmp_path)
    write(bert, adapted(bert.load(), lora(bert.load())), tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, weights)
    with pytest.raises(CheckpointError, match="not those of its config"):
        read_adapter(bert.load(), tmp_path)
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_adapter(bert.load(), tmp_path)


def test_a_tower_with_more_than_an_adapter_is_refused(bert: Saved) -> None:
    tower = adapted(bert.load(), lora(bert.load()))
    tower.encoder.register_parameter("gate", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(CheckpointError, match="gate"):
        as_peft_model(tower.encoder, bert.load().encoder)
    assert ADAPTER in tower.encoder.peft_config
