"""Blocks whose weights stay in their files compute what blocks in memory do, of every family that names weights so."""

import json
from pathlib import Path

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.models.towers.names import OUTPUT
from peftrec.models.towers.offloading import WeightsInFiles
from peftrec.towers.pretrained import PretrainedText
from small_families import NUM_BLOCKS, Saved, load_batch, save_checkpoint

TRANSLATED = {"vit", "deit", "dinov2", "dinov2_with_registers", "dinov3"}
"""What transformers reads under older names than its modules have."""
STATES = (0, 2, NUM_BLOCKS, OUTPUT)


def test_it_encodes_bit_for_bit_and_has_no_weights_of_blocks(saved: Saved) -> None:
    if saved.name in TRANSLATED:
        with pytest.raises(SettingsError, match=r"checkpoint: the weights in .* lack \d+ tensors by the names of a "):
            saved.settings(offload=True).load(saved.modality, seed=0)
        return
    whole, tower = saved.load(), saved.settings(offload=True).load(saved.modality, seed=0)
    inputs = load_batch(saved.pair()).content(saved.modality)
    inside = {name for name, _ in whole.named_parameters() if name.startswith(f"encoder.{whole.family.blocks}.")}
    assert {name for name, _ in tower.named_parameters()} == {name for name, _ in whole.named_parameters()} - inside
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    with torch.no_grad():
        assert torch.equal(tower.states(inputs, STATES), whole.states(inputs, STATES))
        found, expected = tower.token_states(inputs, (2, OUTPUT)), whole.token_states(inputs, (2, OUTPUT))
        assert all(torch.equal(found[index], expected[index]) for index in expected)
        assert torch.equal(tower(inputs), whole(inputs))


def test_shards_of_half_precision_are_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = save_checkpoint(tmp_path / "qwen3", "qwen3")
    saved.reference.to(torch.bfloat16).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    reads: list[set[str]] = []
    read = WeightsInFiles.read

    def counted(self: WeightsInFiles, names: list[str], device: torch.device) -> dict[str, torch.Tensor]:
        reads.append({name.split(".")[1] if name.startswith("layers.") else "outside" for name in names})
        return read(self, names, device)

    monkeypatch.setattr(WeightsInFiles, "read", counted)
    text = PretrainedText(checkpoint=str(tmp_path / "shards"), tokenizer=str(saved.folder), offload=True)
    tower = text.load("text", seed=0)
    reads.clear()
    inputs = text.tokenise(["red lamp", "chair"]).batch(torch.tensor([0, 1]).numpy())
    with torch.no_grad():
        states = tower.states(inputs, STATES)
    assert reads == [{str(block)} for block in range(NUM_BLOCKS)]
    whole = PretrainedText(checkpoint=str(tmp_path / "shards"), tokenizer=str(saved.folder)).load("text", seed=0)
    with torch.no_grad():
        assert torch.equal(states, whole.states(inputs, STATES))


def test_weights_of_other_shapes_are_named(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, "bert")
    file = saved.folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 20}))
    with pytest.raises(SettingsError, match=r"9 tensors of the weights in .* other shapes than its config.json says"):
        saved.settings(offload=True).load("text", seed=0)


@pytest.mark.parametrize("changes", [{"weights": "int8"}, {"random_init": True}])
def test_only_a_checkpoints_own_weights_stay_in_files(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="offload reads a checkpoint's own weights: leave out"):
        PretrainedText(checkpoint="folder", offload=True, **changes)  # type: ignore[arg-type]


def test_what_is_larger_than_the_memory_is_refused_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save_checkpoint(tmp_path, "bert")
    monkeypatch.setattr("peftrec.models.towers.encoders.free_host_memory", lambda: 100_000)
    with pytest.raises(SettingsError, match=r"0.0 GiB of memory are free; .*towers.text.offload=true hidden_states"):
        saved.settings().load("text", seed=0)
    saved.settings(offload=True).load("text", seed=0)
