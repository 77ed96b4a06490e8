"""An export says all that a run learnt: what is written gives the run's embeddings again, or is refused with why."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from peft import AutoPeftModel, PeftModel
from safetensors.torch import load_file
from transformers import BertModel

from peftrec.data.batches import TextBatch
from peftrec.errors import CheckpointError, RecordError, UserError
from peftrec.results.record import read_record, write_record
from peftrec.serving.exporting import Export, export_run
from peftrec.serving.peft_folders import read_adapter
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.building.assembly import assemble
from peftrec.training.checkpoint import BEST, checkpoint_path
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_run import RestoredRun, restore_run
from small_exports import finished_run, inputs_for
from small_families import save_checkpoint
from small_models import build_strategy, strategy_files
from small_runs import small_settings

pytestmark = pytest.mark.integration

FORMS = {
    "lora": {"peft_folder"},
    "lora_cached": {"peft_folder"},  # of the whole tower, of which the run holds the upper blocks
    "full": {"checkpoint"},
    "adapter": {"introduced"},
    "iisan": {"untouched"},  # what trains stands beside the towers
    "iisan_cached": {"untouched"},  # and the run holds no towers
    "id": set(),
}
"""One strategy for each form of an export. The quick tests look at these; that every method of peft is written and
merged is tested without runs in `test_tower_folders.py`."""
RUNS = [
    pytest.param(file, id=file.stem, marks=[] if file.stem in FORMS else pytest.mark.slow) for file in strategy_files()
]
FILES = {"README.md", "item_embeddings.npy", "items.parquet", "recommender.safetensors"}
USER_ENCODER = "user_encoder.pt2"  # one strategy's: what is in it is tested in `test_user_encoder_file.py`


def strategy_file(name: str) -> Path:
    (found,) = [file for file in strategy_files() if file.stem == name]
    return found


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A run as it ended, its export, and what is built from the export alone."""

    run: RestoredRun
    export: Export
    again: RecommenderModule

    @property
    def embeddings(self) -> np.ndarray:
        return np.load(self.export.folder / "item_embeddings.npy")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Train a strategy's run, or return it where it is trained."""
    return functools.cache(
        lambda file: finished_run(
            tmp_path_factory.mktemp(file.stem), file, num_blocks=build_strategy(file).fewest_blocks
        )
    )


@pytest.fixture(scope="module", params=RUNS)
def exported(request: pytest.FixtureRequest, finished: Callable[[Path], Path]) -> Exported:
    run_directory = finished(request.param)
    export = export_run(run_directory, has_user_encoder=request.param.stem == "lora")
    run = restore_run(run_directory, has_whole_towers=True)
    return Exported(run=run, export=export, again=rebuilt(run, export))


@pytest.fixture(scope="module")
def lora_run(finished: Callable[[Path], Path]) -> Path:
    return finished(strategy_file("lora"))


def rebuilt(run: RestoredRun, export: Export) -> RecommenderModule:
    """The untrained module of the run, and then nothing but what the export holds."""
    module = assemble(run.settings, run.split, run.device).module.eval()
    towers = module.recommender.item_encoder.towers
    for written in export.towers:
        folder, tower = export.folder / written.name, towers.present().get(written.name)
        if written.form == "peft_folder":
            base = run.settings.towers.load(seed=run.settings.seed).present()[written.name]
            setattr(towers, written.name, read_adapter(base, folder))
        elif written.form == "checkpoint":
            kind = PretrainedText if written.name == "text" else PretrainedImage
            setattr(towers, written.name, kind(checkpoint=str(folder)).load(written.name, seed=9))
        else:
            assert not folder.exists()
            assert tower is None or written.form in ("untouched", "introduced")
    state: dict[str, torch.Tensor] = {}
    for name in export.num_weights:
        state |= load_file(export.folder / name)
    left = torch.nn.Module.load_state_dict(module.recommender, state, strict=False)
    assert not left.unexpected_keys
    return module


@torch.no_grad()
def differ_little(module: RecommenderModule, expected: np.ndarray) -> bool:
    found = module.encode_catalogue().numpy()
    return bool(np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max())


def test_every_strategys_export_gives_the_runs_embeddings_again(exported: Exported) -> None:
    with torch.no_grad():
        assert np.array_equal(exported.embeddings, exported.run.module.encode_catalogue().numpy())
    assert exported.embeddings.dtype == np.float32
    assert differ_little(exported.again, exported.embeddings)


def test_the_quick_strategies_are_of_all_forms(exported: Exported) -> None:
    strategy = exported.run.record.strategy
    forms = {tower.form for tower in exported.export.towers}
    assert set(FORMS) <= {file.stem for file in strategy_files()}
    assert forms in FORMS.values()
    assert forms == FORMS.get(strategy, forms)


def test_users_are_read_as_in_the_run(exported: Exported) -> None:
    expected, found = (module.recommender.user_encoder for module in (exported.run.module, exported.again))
    for left, right in zip(expected.state_dict().values(), found.state_dict().values(), strict=True):
        assert torch.equal(left, right)


def test_what_trained_is_written_once_and_nothing_else_is(exported: Exported) -> None:
    """By count: adapter folders and files of weights hold what trained; checkpoints hold whole towers."""
    export, parameters = exported.export, exported.run.record.parameters
    assert parameters is not None
    written = sum(export.num_weights.values()) + sum(tower.num_parameters for tower in export.towers)
    has_checkpoints = any(tower.form == "checkpoint" for tower in export.towers)
    assert written == parameters.total if has_checkpoints else parameters.trainable
    folders = {tower.name for tower in export.towers if tower.form in ("peft_folder", "checkpoint")}
    users = {USER_ENCODER} if exported.run.record.strategy == "lora" else set()
    assert {file.name for file in export.folder.iterdir()} == FILES | users | folders | set(export.num_weights)
    assert not list(export.folder.rglob("*.ckpt"))
    assert len({file.stat().st_mode for file in export.folder.rglob("*") if file.is_file()}) == 1  # whoever may read


def test_rows_of_embeddings_are_rows_of_items(exported: Exported) -> None:
    table, items = pd.read_parquet(exported.export.folder / "items.parquet"), exported.run.split.items
    assert tuple(table["id"]) == items.ids
    assert len(exported.embeddings) == len(table) == exported.export.num_items
    if items.titles is not None:
        assert tuple(table["title"]) == items.titles


def test_the_card_says_what_the_record_says(exported: Exported) -> None:
    record, export = exported.run.record, exported.export
    card = (export.folder / "README.md").read_text()
    assert record.evaluation is not None
    assert record.data is not None
    figures = " | ".join(f"{record.evaluation.test[name]:.4f}" for name in ("hr@10", "ndcg@10", "mrr@10"))
    assert f"| {record.strategy} | {figures} |" in card
    for text in (record.run_id, f"{record.data.num_candidates:,} candidates", record.provenance.data_hash[:12]):
        assert text in card
    _, front, _ = card.split("---\n", 2)
    assert "peftrec" in yaml.safe_load(front)["tags"]
    shown = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert shown["strategy"] == record.config["strategy"]
    for name in export.num_weights:
        assert f"`{name}`" in card
    assert (f"`{USER_ENCODER}`" in card) == ("```python" in card) == (export.user_encoder is not None)


def test_merging_works_or_is_refused_with_the_reason(exported: Exported, tmp_path: Path) -> None:
    run_directory = exported.run.directory
    forms = {tower.form for tower in exported.export.towers}
    checkpoint = checkpoint_path(run_directory, BEST).read_bytes()
    if forms & {"peft_folder", "checkpoint"}:
        merged = export_run(run_directory, to=tmp_path / "merged", merges=True, has_user_encoder=False)
        assert {tower.form for tower in merged.towers} == {"checkpoint"}
        assert differ_little(rebuilt(exported.run, merged), exported.embeddings)
    else:
        reason = "modules of its own" if "introduced" in forms else "nothing to merge"
        with pytest.raises(CheckpointError, match=f"merge=true: .*{reason}"):
            export_run(run_directory, to=tmp_path / "merged", merges=True)
        assert not list(tmp_path.iterdir())
    assert checkpoint_path(run_directory, BEST).read_bytes() == checkpoint


@pytest.mark.parametrize("left_out", ["text", "image"])
def test_one_tower_is_enough(left_out: str, tmp_path: Path) -> None:
    run_directory = finished_run(tmp_path, strategy_file("lora"), num_blocks=1, towers={left_out: None})
    for merges, form in ((False, "peft_folder"), (True, "checkpoint")):
        (tower,) = export_run(run_directory, to=tmp_path / form, merges=merges, has_user_encoder=False).towers
        assert tower.name != left_out
        assert tower.form == form


def test_ready_features_in_place_of_a_tower_are_named(tmp_path: Path) -> None:
    features = tmp_path / "text.npy"
    np.save(features, np.random.default_rng(0).normal(size=(100, 12)).astype(np.float32))
    towers = {
        "text": {"_target_": "peftrec.towers.ready_features.ReadyFeatures", "file": str(features)},
        "image": None,
    }
    run_directory = finished_run(tmp_path, strategy_file("frozen"), num_blocks=1, towers=towers)
    export = export_run(run_directory, has_user_encoder=False)
    (tower,) = export.towers
    assert (tower.form, tower.base_name) == ("untouched", "text.npy")
    assert {file.name for file in export.folder.iterdir()} == FILES
    card = (export.folder / "README.md").read_text()
    assert "no text folder: `text.npy`, as it is" in card
    assert str(tmp_path) not in card


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by an old name
def test_a_base_of_this_machine_is_named_by_its_weights(tmp_path: Path) -> None:
    """No file of the export holds a path; and peft loads the adapter onto the base that it is given."""
    saved = save_checkpoint(tmp_path / "bases" / "small-bert", "bert")
    towers = {"text": {"checkpoint": str(saved.folder)}, "image": None}
    run_directory = finished_run(tmp_path / "runs", strategy_file("lora"), towers=towers)
    export = export_run(run_directory)
    for file in export.folder.rglob("*"):
        assert file.is_dir() or str(tmp_path).encode() not in file.read_bytes(), file

    digest = sha256((saved.folder / "model.safetensors").read_bytes()).hexdigest()
    name = f"small-bert (local checkpoint, sha256 {digest})"
    config = json.loads((export.folder / "text" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (name, None)
    card = (export.folder / "README.md").read_text()
    assert f"for `{name}`" in card
    command = 'PeftModel.from_pretrained(BertModel.from_pretrained("PATH"), "text")'
    assert f"`{command}` with the folder in which that checkpoint lies on your machine as PATH" in card
    assert "base_model" not in card.split("---\n")[1]
    with pytest.raises(OSError, match=r"Repo id must|valid model identifier"):  # nobody else's model is loaded for it
        AutoPeftModel.from_pretrained(str(export.folder / "text"))

    base = BertModel.from_pretrained(saved.folder, add_pooling_layer=False)
    model = PeftModel.from_pretrained(base, str(export.folder / "text")).eval()
    live = restore_run(run_directory).module.recommender.item_encoder.towers.present()["text"].encoder
    tokens = inputs_for(saved)
    assert isinstance(tokens, TextBatch)
    with torch.no_grad():
        expected, found = (
            each(input_ids=tokens.token_ids, attention_mask=tokens.mask.long()).last_hidden_state
            for each in (live, model)
        )
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_merged_tower_trains_as_a_tower(lora_run: Path, tmp_path: Path) -> None:
    merged = export_run(lora_run, to=tmp_path / "merged", merges=True, has_user_encoder=False)
    towers = {
        "text": {"checkpoint": str(merged.folder / "text")},
        "image": {"checkpoint": str(merged.folder / "image")},
    }
    outcome = train_run(small_settings(tmp_path, "full", trainer={"max_epochs": 1}, towers=towers))
    assert outcome.status == "success"


def test_an_export_that_is_there_is_not_replaced_unasked(lora_run: Path, tmp_path: Path) -> None:
    place = tmp_path / "export"
    export_run(lora_run, to=place, has_user_encoder=False)
    (place / "stale").touch()
    with pytest.raises(UserError, match="overwrite=true"):
        export_run(lora_run, to=place)
    export_run(lora_run, to=place, merges=True, overwrites=True, has_user_encoder=False)
    assert not (place / "stale").exists()
    assert (place / "text" / "config.json").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["export"]


def test_a_folder_that_is_no_export_is_never_replaced(lora_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="this is no export"):
        export_run(lora_run, to=tmp_path, overwrites=True)
    assert (tmp_path / "mine").exists()


def test_a_place_that_cannot_be_made_is_refused_before_the_run_is_loaded(
    lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("peftrec.serving.exporting.restore_run")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be made \(.*to=DIR"):
        export_run(lora_run, to=tmp_path / "file" / "export")


def test_a_user_encoder_that_cannot_be_written_is_refused_and_leaves_nothing(
    lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peftrec.serving.user_encoder_file.TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match="user_encoder=false"):
        export_run(lora_run, to=tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_a_failure_on_the_way_leaves_nothing(lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr("peftrec.serving.exporting.model_card", fail)
    with pytest.raises(UserError, match=r"No space left on device.*to=DIR"):
        export_run(lora_run, to=tmp_path / "export")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_reads_as_whole(lora_run: Path, tmp_path: Path) -> None:
    """Killed when all but the card is written; the next export tidies up and is whole."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from peftrec.serving import exporting\n"
        "exporting.model_card = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "exporting.export_run(Path(sys.argv[1]), to=Path(sys.argv[2]))\n"
    )
    place = tmp_path / "export"
    command = [sys.executable, "-c", script, str(lora_run), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not place.exists()
    (partial,) = tmp_path.iterdir()
    assert (partial / "text" / "adapter_config.json").exists()
    export_run(lora_run, to=place)
    assert {file.name for file in place.iterdir()} == FILES | {USER_ENCODER, "text", "image"}
    assert [file.name for file in tmp_path.iterdir()] == ["export"]


def test_an_unfinished_run_is_refused(lora_run: Path, tmp_path: Path) -> None:
    record = read_record(lora_run)
    write_record(record.model_copy(update={"status": "interrupted"}), tmp_path)
    with pytest.raises(RecordError, match=r"not finished \(interrupted\)"):
        export_run(tmp_path)
