"""Cold items of a sequential run: only their embeddings change, and they follow from content what it determines."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftrec.cli import main as cli
from peftrec.code import fingerprint
from peftrec.cold_start import completion
from peftrec.cold_start.cold_items import (
    ColdItemsSettings,
    ContentToEmbedding,
    Positions,
    catalogue_of,
    complete,
    rank_over,
    step_loss,
    train_epoch,
    training_positions,
)
from peftrec.cold_start.item_vectors import item_vectors
from peftrec.errors import DataError, RecordError, SettingsError
from peftrec.progress.quiet import quieten_libraries
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_run import RestoredRun, restore_run
from small_runs import small_settings

SETTINGS = ColdItemsSettings(run="", epochs=2)


def train(runs_dir: Path, **changes: Any) -> Path:
    outcome = train_run(small_settings(runs_dir, "id", trainer={"max_epochs": 1}, **changes))
    assert outcome.status == "success"
    return outcome.run_directory


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("id"))


@pytest.fixture(scope="module")
def run(run_directory: Path) -> RestoredRun:
    quieten_libraries()
    return restore_run(run_directory)


def test_only_cold_items_change(run: RestoredRun) -> None:
    vectors = item_vectors(run.settings, run.split.items, run.device)
    before = catalogue_of(run)
    completed = complete(run, vectors, SETTINGS)
    is_cold = torch.from_numpy(run.split.train_counts == 0)
    assert is_cold.any()
    assert torch.equal(completed.catalogue[~is_cold], before[~is_cold])
    assert (completed.catalogue[is_cold] != before[is_cold]).all(dim=1).all()
    assert torch.equal(catalogue_of(run), before)
    assert len(completed.validation) == SETTINGS.epochs
    assert completed.chosen_epoch == int(np.argmax(completed.validation))
    assert torch.equal(complete(run, vectors, SETTINGS).catalogue, completed.catalogue)


def test_dealing_out_permutes_cold_embeddings_alone(run: RestoredRun) -> None:
    catalogue = catalogue_of(run)
    dealt = completion.deal_out(catalogue, run, seed=1)
    is_cold = torch.from_numpy(run.split.train_counts == 0)
    assert torch.equal(dealt[~is_cold], catalogue[~is_cold])
    assert not torch.equal(dealt, catalogue)
    assert torch.equal(dealt[is_cold].sort(dim=0).values, catalogue[is_cold].sort(dim=0).values)


@pytest.mark.parametrize("absent", [(), ("image",), ("text",)])
def test_vectors_are_those_of_the_towers_there_are(run: RestoredRun, absent: tuple[str, ...]) -> None:
    settings = small_settings(Path("x"), "id", towers=dict.fromkeys(absent))
    vectors = item_vectors(settings, run.split.items, run.device)
    towers = settings.towers.load(seed=settings.seed)
    assert vectors.shape == (len(run.split.items), sum(towers.widths().values()))
    assert len(towers.widths()) == 2 - len(absent)
    np.testing.assert_allclose(vectors.mean(dim=0), 0.0, atol=0.05)


def test_positions_are_those_that_the_run_trained_on(run: RestoredRun) -> None:
    """One for each item of a window but its first, with the state that the user encoder has before it."""
    windows, catalogue = run.split.windows, catalogue_of(run)
    positions = training_positions(run, catalogue)
    firsts = np.zeros(len(windows.items), dtype=np.bool_)
    firsts[windows.offsets[:-1]] = True
    assert positions.targets.tolist() == windows.items[~firsts].tolist()
    items = torch.from_numpy(windows.items[: windows.offsets[1]].astype(np.int64))
    history = torch.zeros(run.split.sequence_length, dtype=torch.int64)
    history[-(len(items) - 1) :] = items[:-1]
    mask = torch.arange(len(history)) >= len(history) - (len(items) - 1)
    with torch.no_grad():
        expected = run.module.recommender.user_encoder(catalogue[history][None], mask[None])[0, mask]
    torch.testing.assert_close(positions.states[: len(items) - 1], expected)


def test_the_runs_own_catalogue_gives_its_own_ranks(run: RestoredRun) -> None:
    ranked = rank_over(run, run.split.test, catalogue_of(run))
    assert run.record.evaluation is not None
    assert np.mean((ranked.ranks <= 10) & ~ranked.is_unreachable) == run.record.evaluation.test["hr@10"]


def planted(num_items: int = 200) -> tuple[torch.Tensor, torch.Tensor, Positions]:
    """Embeddings that content determines, and positions whose targets the states single out."""
    draws = torch.Generator().manual_seed(0)
    vectors = torch.randn(num_items, 6, generator=draws)
    embeddings = 0.3 * torch.tanh(vectors @ torch.randn(6, 4, generator=draws)) + 1.0
    targets = torch.randint(num_items // 2, (2000,), generator=draws)
    states = 8.0 * (embeddings[targets] - 1.0) + 0.1 * torch.randn(2000, 4, generator=draws)
    return vectors, embeddings, Positions(states=states, targets=targets)


def test_what_content_determines_is_recovered() -> None:
    """The first half of the items train; the others' embeddings are predicted, with a tenth of the variance missing."""
    vectors, embeddings, positions = planted()
    warm, cold = slice(0, 100), slice(100, 200)
    torch.manual_seed(0)
    model = ContentToEmbedding(embeddings[warm], num_features=6, num_experts=5)
    settings = ColdItemsSettings(run="", learning_rate=0.02, batch_size=500)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    for _ in range(80):
        train_epoch(model, optimizer, positions, vectors[warm], embeddings[warm], settings)
    with torch.no_grad():
        missing = (model(vectors[cold]) - embeddings[cold]).square().mean()
    assert missing < 0.1 * embeddings[cold].var(dim=0).mean()


def test_embeddings_stay_in_the_box_of_the_warm_ones() -> None:
    vectors, embeddings, _ = planted()
    model = ContentToEmbedding(embeddings, num_features=6, num_experts=3)
    torch.nn.init.normal_(model.transformation.experts.weight, std=100.0)
    torch.nn.init.normal_(model.transformation.gates.weight, std=100.0)  # type: ignore[union-attr, arg-type]
    reach = (embeddings - embeddings.mean(dim=0)).abs().amax(dim=0)
    assert ((model(vectors) - embeddings.mean(dim=0)).abs() <= reach + 1e-6).all()
    assert model.distance(embeddings, embeddings).item() == 0.0


def test_new_embeddings_pass_the_runs_norm(tmp_path: Path) -> None:
    """Under FixNorm all embeddings have one length, the cold ones too, and completing leaves the norm as it was."""
    quieten_libraries()
    run = restore_run(train(tmp_path, user_encoder={"fix_norm": True}))
    norm = run.module.recommender.item_norm
    assert norm is not None
    gain = norm.gain.detach().clone()  # type: ignore[operator, union-attr]
    vectors = item_vectors(run.settings, run.split.items, run.device)
    completed = complete(run, vectors, SETTINGS)
    torch.testing.assert_close(completed.catalogue.norm(dim=1), gain.abs().expand(len(completed.catalogue)))
    assert torch.equal(norm.gain, gain)  # type: ignore[arg-type]


def test_the_loss_of_a_step() -> None:
    """With everything replaced nothing is drawn: cross-entropy over transformed items, and the mean distance."""
    vectors, embeddings, positions = planted()
    torch.manual_seed(0)
    model = ContentToEmbedding(embeddings, num_features=6, num_experts=3)
    settings = ColdItemsSettings(run="", replaced=1.0, similarity_weight=0.7)
    transformed = model(vectors)
    logits = positions.states @ transformed.T
    picked = logits[torch.arange(len(positions.targets)), positions.targets]
    distance = (((transformed - embeddings) / model.reach) ** 2).sum() / len(embeddings)
    expected = (torch.logsumexp(logits, dim=1) - picked).mean() + 0.7 * distance
    torch.testing.assert_close(step_loss(model, positions, vectors, embeddings, settings), expected)


def test_the_verb_writes_beside_the_record(
    run_directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {path: path.read_bytes() for path in run_directory.rglob("*") if path.is_file()}
    words = ["coldstart", f"run={run_directory}", "epochs=1"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    content = json.loads((run_directory / "cold_items.json").read_text())
    segments = content["before"]
    assert segments["all"]["num_users"] == segments["warm"]["num_users"] + segments["cold"]["num_users"]
    for name in ("all", "warm", "cold"):
        figures = " | ".join(f"{content[side][name]['hr@10']:.4f}" for side in ("before", "after", "shuffled"))
        assert figures in shown
    assert {path: path.read_bytes() for path in others} == others
    monkeypatch.setattr(completion, "complete", None)
    assert cli.main(words) == 0
    assert capsys.readouterr().out == shown
    monkeypatch.undo()
    monkeypatch.setattr(fingerprint, "public_version", lambda package: "0.1")
    assert cli.main(words) == 0
    again = capsys.readouterr()
    assert again.out == shown
    assert f"{run_directory / 'cold_items.json'}: computed by other code (Pillow " in again.err
    monkeypatch.undo()
    assert cli.main([*words, "seed=2"]) == 0
    assert json.loads((run_directory / "cold_items.json").read_text())["config"]["seed"] == 2


def test_a_run_without_cold_items_is_refused(
    run_directory: Path, run: RestoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_warm = replace(run, split=replace(run.split, train_counts=run.split.train_counts + 1))
    monkeypatch.setattr(completion, "restore_run", lambda *_: all_warm)
    with pytest.raises(DataError, match="every candidate occurs in training"):
        completion.complete_run(ColdItemsSettings(run=str(run_directory)), {})


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such record"):
        completion.complete_run(ColdItemsSettings(run=str(tmp_path)), {})


def test_without_towers_nothing_is_known_of_a_cold_item(run: RestoredRun) -> None:
    settings = small_settings(Path("x"), "id", towers={"text": None, "image": None})
    with pytest.raises(SettingsError, match=r"towers\.text and towers\.image of the run are null"):
        item_vectors(settings, run.split.items, run.device)
