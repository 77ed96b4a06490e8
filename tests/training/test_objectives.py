"""Objectives in whole runs: what their positions compete with, what is refused, and a catalogue encoded in parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from peftrec.config.folder import config_directory
from peftrec.data.loading import TrainingBatches, pad_left
from peftrec.errors import SettingsError
from peftrec.processes import ALONE, ProcessRank
from peftrec.results.record import read_record
from peftrec.settings.run import Settings
from peftrec.training import module as training_module
from peftrec.training.building.assembly import assemble
from peftrec.training.building.loaders import build_loaders, competition_of, mean_negatives
from peftrec.training.building.reading import prepare_data
from peftrec.training.run.pipeline import evaluate_run, train_run
from peftrec.training.run.restored_run import restore_run
from small_runs import small_settings

pytestmark = pytest.mark.integration

OBJECTIVES = {file.stem: yaml.safe_load(file.read_text()) for file in (config_directory() / "objective").glob("*.yaml")}
DRAWING = ("bce", "bpr", "gbce", "info_nce", "sampled_softmax")
CPU = torch.device("cpu")


def settings_of(folder: Path, strategy: str, objective: str, **changes: Any) -> Settings:
    node = {**OBJECTIVES[objective], **({"negatives": 20} if objective in DRAWING else {})}
    return small_settings(folder, strategy, objective=node, trainer={"max_epochs": 1}, **changes)


def test_there_are_objectives() -> None:
    assert {"debiased_cross_entropy", "full_softmax", "refined_cross_entropy", "sce", *DRAWING} == set(OBJECTIVES)


@pytest.mark.parametrize(
    ("strategy", "objective"),
    [
        *(("id", name) for name in sorted(OBJECTIVES)),
        ("iisan_cached", "full_softmax"),
        ("iisan_cached", "info_nce"),
        ("lora", "sampled_softmax"),
        *(
            pytest.param("iisan_cached", name, marks=pytest.mark.slow)
            for name in sorted({*OBJECTIVES} - {"full_softmax", "info_nce", "debiased_cross_entropy"})
        ),
    ],
)
def test_every_objective_trains_and_is_scored_again(strategy: str, objective: str, tmp_path: Path) -> None:
    outcome = train_run(settings_of(tmp_path, strategy, objective))
    record = read_record(outcome.run_directory)
    assert outcome.status == "success", record.error
    assert np.isfinite(record.epochs[0].training_loss)
    assert evaluate_run(outcome.run_directory) == record.evaluation
    if objective in DRAWING:
        assert record.competitors == "20 drawn evenly for the batch"
        assert 15 < (record.negatives_per_positive or 0) < 20, "those of the user's own window are none"
    elif objective in ("full_softmax", "sce"):
        assert record.competitors == "all items"
    else:
        assert record.competitors == "items of the batch"
    if objective == "info_nce":
        catalogue = restore_run(outcome.run_directory).module.encode_catalogue()
        torch.testing.assert_close(catalogue.norm(dim=1), torch.ones(len(catalogue)))


@pytest.mark.parametrize("objective", ["full_softmax", "sce"])
@pytest.mark.parametrize("strategy", ["full", "frozen", "lora_cached"])
def test_towers_over_the_catalogue_in_every_step_are_refused(strategy: str, objective: str, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=rf"scores against all items, and strategy={strategy} would run towers .* set objective=sampled_softmax",
    ):
        settings_of(tmp_path, strategy, objective)


def test_two_norms_of_item_embeddings_are_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id", "info_nce", user_encoder={"fix_norm": True})
    with pytest.raises(SettingsError, match=r"InfoNCE gives item embeddings a norm.*user_encoder\.fix_norm=false"):
        train_run(settings)


@pytest.mark.parametrize("with_batch", [True, False])
def test_what_was_drawn_is_marked_and_counted(with_batch: bool, tmp_path: Path) -> None:
    node = {**OBJECTIVES["sampled_softmax"], "negatives": 20, "with_batch": with_batch}
    settings = small_settings(tmp_path, "id", objective=node)
    split = prepare_data(settings)
    competition = competition_of(settings, split)
    loaders = build_loaders(settings, split, assemble(settings, split, CPU).module, CPU)
    negatives = positions = 0
    for rows, batch in zip(loaders.training.sampler, loaders.training, strict=True):
        drawn = set(competition.beside(np.asarray(rows)).tolist())
        assert set(batch.items.items[batch.drawn].tolist()) == drawn
        items, mask = pad_left(split.windows, np.asarray(rows), split.sequence_length + 1)
        pool = {*items[mask].tolist(), *drawn} if with_batch else drawn
        for own, stands in zip(items, mask, strict=True):
            negatives += int(stands[:-1].sum()) * len(pool - set(own[stands].tolist()))
            positions += int(stands[:-1].sum())
    assert mean_negatives(settings, split, 1) == negatives / positions == loaders.negatives_per_positive


@pytest.mark.parametrize("negatives", ["gathered", "local"])
def test_each_of_several_processes_knows_what_was_drawn(negatives: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id", "sampled_softmax")
    split = prepare_data(settings)
    competition, rows = competition_of(settings, split), np.arange(8)
    drawn = set(competition.beside(rows).tolist())
    content = assemble(settings, split, CPU).module.content
    for rank in range(2):
        batches = TrainingBatches(
            split.windows,
            content,
            length=split.sequence_length + 1,
            processes=ProcessRank(rank=rank, count=2),
            gathers_negatives=negatives == "gathered",
            competition=competition,
        )
        batch = batches[rows]
        assert batch.whole is not None
        assert batch.drawn is not None
        assert set(batch.whole.pool[batch.drawn].tolist()) == drawn


@pytest.mark.parametrize("processes", [ALONE, ProcessRank(rank=0, count=2), ProcessRank(rank=1, count=2)])
def test_positions_are_listed(processes: ProcessRank, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "id", "full_softmax")
    split = prepare_data(settings)
    batch = TrainingBatches(
        split.windows,
        assemble(settings, split, CPU).module.content,
        length=split.sequence_length + 1,
        processes=processes,
        competition=competition_of(settings, split),
    )[np.arange(8)]
    assert batch.positions is not None
    assert 0 < len(batch.positions) < batch.mask[:, :-1].numel()
    assert torch.equal(batch.positions, batch.mask[:, :-1].flatten().nonzero()[:, 0])


@pytest.mark.parametrize("strategy", ["id", "iisan_cached"])
def test_a_catalogue_encoded_in_parts_gives_the_loss_and_gradients_of_the_whole(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, strategy, "full_softmax")
    split = prepare_data(settings)
    found = []
    for part in (training_module.CATALOGUE_PART, 7):
        monkeypatch.setattr(training_module, "CATALOGUE_PART", part)
        module = assemble(settings, split, CPU).module
        module.set_training_modes()
        batch = next(iter(build_loaders(settings, split, module, CPU).training))
        assert len(batch.items.items) == 100
        encoded: list[int] = []
        encode = module.recommender.embed

        def counting(items: Any, encode: Any = encode, encoded: list[int] = encoded) -> Any:
            encoded.append(len(items.items))
            return encode(items)

        monkeypatch.setattr(module.recommender, "embed", counting)
        torch.manual_seed(0)
        loss = module.loss(batch)
        loss.backward()
        found.append((loss, {name: each.grad for name, each in module.named_parameters() if each.requires_grad}))
        assert sorted(encoded) == ([100] if part >= 100 else [2, 2, *(2 * 14 * [7])]), "again in the backward pass"
    (whole, gradients), (parts, in_parts) = found
    torch.testing.assert_close(parts, whole)
    assert gradients.keys() == in_parts.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(in_parts[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
