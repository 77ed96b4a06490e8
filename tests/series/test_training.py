"""Training over seeds: reproducible, resumed at the seeds that are missing, and read off by three rules."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from peftrec.config.composition import compose_part
from peftrec.config.folder import config_directory
from peftrec.config.instantiate import describe_part
from peftrec.errors import RecordError, SettingsError
from peftrec.models.gtn_shape import TowerShape
from peftrec.series import training
from peftrec.series.data import LabelledSeries, SeriesSplit
from peftrec.series.results import ClassificationResults, EpochOutcome, SeedOutcome, read_results, results_path
from peftrec.series.settings import ClassifySettings, Recipe, SeriesData
from peftrec.series.summary import accuracies, to_text
from peftrec.series.training import describe, train_seed, train_seeds

TINY = TowerShape(dim=16, num_blocks=1, num_heads=2, head_width=8, hidden=16)
RECIPES = sorted((config_directory() / "series" / "recipe").glob("*.yaml"))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated.*"
)


def waves(count: int, seed: int) -> LabelledSeries:
    """Two classes that differ in their frequency."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    time = torch.arange(8.0)
    phases = torch.rand(count, 1, generator=generator)
    values = torch.sin((1 + 2 * labels[:, None]) * 0.6 * time + phases)
    return LabelledSeries(values=torch.stack([values, -values], dim=2), labels=labels)


SPLIT = SeriesSplit(training=waves(24, 0), test=waves(30, 1), classes=("slow", "fast"), data_hash="0")


def settings(runs_dir: Path, seeds: tuple[int, ...] = (1, 2), max_epochs: int = 2) -> ClassifySettings:
    recipe = Recipe(towers=TINY, optimizer="adam", learning_rate=3e-3, batch_size=8, max_epochs=max_epochs)
    return ClassifySettings(runs_dir=str(runs_dir), data=SeriesData(), recipe=recipe, seeds=seeds, accelerator="cpu")


def trained(chosen: ClassifySettings, told: list[SeedOutcome] | None = None) -> tuple[Path, ClassificationResults]:
    empty = describe(chosen, SPLIT)
    path = results_path(chosen.runs_dir, empty)
    return path, train_seeds(chosen, SPLIT, empty, path, (told if told is not None else []).append)


def test_it_learns_and_a_seed_decides_everything(tmp_path: Path) -> None:
    first, again, other = (train_seed(settings(tmp_path), SPLIT, seed) for seed in (1, 1, 2))
    assert first.epochs == again.epochs != other.epochs
    longer = train_seed(settings(tmp_path, max_epochs=12), SPLIT, seed=1)
    assert longer.epochs[-1].training_loss < 0.5 * longer.epochs[0].training_loss
    assert longer.least_loss_epoch().test_accuracy > 0.9
    assert len(longer.epochs) == 12


def test_finished_seeds_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[SeedOutcome] = []
    path, both = trained(settings(tmp_path), told)
    assert [each.seed for each in told] == [each.seed for each in both.seeds] == [1, 2]
    monkeypatch.setattr(training, "train_seed", lambda *_: pytest.fail("trained again"))
    assert trained(settings(tmp_path)) == (path, both)
    assert trained(settings(tmp_path, seeds=(2,)))[1].seeds == both.seeds[1:], "only those asked for"


def test_more_seeds_join_those_in_the_file(tmp_path: Path) -> None:
    path, one = trained(settings(tmp_path, seeds=(2,)))
    told: list[SeedOutcome] = []
    joined_path, both = trained(settings(tmp_path), told)
    assert joined_path == path
    assert [each.seed for each in told] == [1]
    assert both.seeds[1:] == one.seeds


def test_the_file_is_named_by_what_decides_the_outcome(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    path = results_path(chosen.runs_dir, describe(chosen, SPLIT))
    same = replace(chosen, seeds=(7,), accelerator="auto")
    assert results_path(same.runs_dir, describe(same, SPLIT)) == path
    longer = replace(chosen, recipe=replace(chosen.recipe, max_epochs=7))
    others = [describe(longer, SPLIT), describe(chosen, replace(SPLIT, data_hash="1"))]
    assert path not in {results_path(chosen.runs_dir, each) for each in others}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    empty = describe(settings(tmp_path), SPLIT)
    path = tmp_path / "damaged.json"
    path.write_text('{"dataset": "JapaneseVowels"')
    with pytest.raises(RecordError, match=r"damaged\.json: .*; remove the file to train its seeds again"):
        read_results(path, empty)
    path.write_text('{"dataset": 3}')
    with pytest.raises(RecordError, match=r"damaged\.json: dataset: .*"):
        read_results(path, empty)


def test_training_that_diverges_is_an_error_and_no_result(tmp_path: Path) -> None:
    chosen = settings(tmp_path, seeds=(1,))
    chosen = replace(chosen, recipe=replace(chosen.recipe, learning_rate=1e30))
    with pytest.raises(SettingsError, match=r"the training loss is .*; lower recipe\.learning_rate"):
        trained(chosen)
    assert not list(tmp_path.rglob("*.json"))


def outcome(seed: int, *rows: tuple[float, float]) -> SeedOutcome:
    epochs = tuple(EpochOutcome(training_loss=loss, test_accuracy=accuracy, step_gate=0.25) for loss, accuracy in rows)
    return SeedOutcome(seed=seed, seconds=1.0, epochs=epochs)


def test_three_rules_by_hand(tmp_path: Path) -> None:
    """The published code tests after epochs 5, 10, ... alone: what is better in between it never sees."""
    first = ((3.0, 0.5), (1.0, 0.75), (2.0, 1.0), (2.0, 0.5), (2.0, 0.25))
    second = ((1.0, 0.5), *[(1.0, 1.0)] * 3, (1.0, 0.0), *[(2.0, 1.0)] * 4, (2.0, 0.5), (2.0, 0.0))
    seeds = (outcome(1, *first), outcome(2, *second))
    assert list(accuracies(seeds).values()) == [[0.75, 0.5], [0.25, 0.0], [0.25, 0.5]]
    text = to_text(replace(describe(settings(tmp_path), SPLIT), seeds=seeds))
    assert "at the least training loss                         62.50   17.68  75.0 50.0" in text
    assert "best of every fifth epoch, chosen on the test set  37.50   17.68  25.0 50.0" in text
    assert "published, by the last rule                         98.7" in text
    assert "step tower 0.25, channel tower 0.75" in text
    alone = to_text(replace(describe(settings(tmp_path), SPLIT), seeds=seeds[:1], dataset="Other"))
    assert "75.00       -  75.0" in alone
    assert "published" not in alone


def test_without_a_fifth_epoch_nothing_is_chosen_by_the_published_rule(tmp_path: Path) -> None:
    seeds = (outcome(1, *[(1.0, 0.5)] * 4),)
    assert list(accuracies(seeds)) == ["at the least training loss", "at the last epoch"]
    text = to_text(replace(describe(settings(tmp_path), SPLIT), seeds=seeds))
    assert "published                    98.7" in text


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_recipe_composes_and_leaves_nothing_to_a_default(file: Path) -> None:
    composed = compose_part(ClassifySettings, [f"recipe={file.stem}"], folder="series")
    assert describe_part(composed)["recipe"] == yaml.safe_load(file.read_text())


def test_the_published_recipe_is_the_default_of_its_fields() -> None:
    composed = compose_part(ClassifySettings, ["recipe=published"], folder="series")
    assert composed.recipe == Recipe(towers=TowerShape())


@pytest.mark.parametrize("seeds", ["[]", "[1,1]"])
def test_seeds_are_given_once_each(seeds: str) -> None:
    with pytest.raises(SettingsError, match="seeds: give at least one, and each once"):
        compose_part(ClassifySettings, [f"seeds={seeds}"], folder="series")
