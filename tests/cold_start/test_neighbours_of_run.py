"""Content neighbours of whole runs: ranks at every weight, the weight that validation chooses, and the verb."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.cli import main as cli
from peftrec.cold_start.frozen_content import FrozenContent
from peftrec.cold_start.neighbours_of_run import WEIGHTS, NeighboursOfRun
from peftrec.data.interactions import Interactions
from peftrec.data.split import RankingCases
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.ranks import read_ranks
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.restored_run import RestoredRun, restore_run
from peftrec.training.run.scoring import UserRanks, rank_users
from small_runs import small_settings

pytestmark = pytest.mark.integration

RUNS = ("full", "iisan", "iisan_cached", "id")
LARGE = 1e4
"""A weight beside which the run's own scores are nothing."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    settings = {name: small_settings(folder, name, trainer={"max_epochs": 1}) for name in RUNS}
    return {name: train_run(each).run_directory for name, each in settings.items()}


@pytest.fixture(scope="module")
def restored(runs: dict[str, Path]) -> dict[str, RestoredRun]:
    quieten_libraries()
    return {name: restore_run(directory) for name, directory in runs.items()}


def neighbours_of(run: RestoredRun) -> NeighboursOfRun:
    return NeighboursOfRun(content=FrozenContent(run=run), embeddings=ServedCatalogue.of(run).embeddings)


@pytest.mark.parametrize("name", RUNS)
def test_at_weight_0_ranks_are_the_runs_own(name: str, restored: dict[str, RestoredRun]) -> None:
    run = restored[name]
    (found,) = neighbours_of(run).rank(run.split.test, [0.0])
    recorded = read_ranks(run.directory)
    np.testing.assert_array_equal(found.ranks, recorded["rank"].to_numpy())
    tried = neighbours_of(run).on_test(0.0)
    assert run.record.evaluation is not None
    for metric, value in run.record.evaluation.test.items():
        assert tried.without["all"][metric] == tried.with_them["all"][metric] == value


def literal_ranks(run: RestoredRun, cases: RankingCases, weight: float) -> list[int]:
    """Return ranks by the formula, a user and an item at a time."""
    rows = FrozenContent(run=run).of_candidates().astype(np.float64)
    deviations = rows.std(axis=0)
    content = np.clip((rows - rows.mean(axis=0)) / np.where(deviations == 0, 1.0, deviations), -5.0, 5.0)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    with torch.inference_mode():
        catalogue = run.module.encode_catalogue()
    ranks, length = [], run.split.sequence_length
    for user, history in enumerate(cases.histories):
        recent = torch.from_numpy(history[-length:].astype(np.int64))
        read = torch.nn.functional.pad(recent, (length - len(recent), 0))[None]
        is_item = torch.arange(length)[None] >= length - len(recent)
        with torch.inference_mode():
            state = run.module.recommender.last_states(catalogue, read, is_item)
        own = catalogue.double().numpy() @ state[0].double().numpy()
        cosines = content @ content[history[-1]]
        scores = own + weight * own.std() / cosines.std() * cosines
        others = np.setdiff1d(np.arange(len(scores)), [*history, cases.targets[user]])
        is_seen = cases.targets[user] in history
        ranks.append(len(scores) + 1 if is_seen else 1 + int((scores[others] >= scores[cases.targets[user]]).sum()))
    return ranks


@pytest.mark.parametrize("name", ["full", "iisan_cached"])
@pytest.mark.parametrize("weight", [0.5, LARGE])
def test_ranks_are_those_of_a_literal_loop(name: str, weight: float, restored: dict[str, RestoredRun]) -> None:
    """History items are no candidates, and a target that stands in the history is out of reach."""
    run = restored[name]
    (found,) = neighbours_of(run).rank(run.split.test, [weight])
    expected = literal_ranks(run, run.split.test, weight)
    # A last bit may order two items that nearly tie.
    assert np.abs(found.ranks - expected).max() <= 1
    assert (found.ranks == expected).mean() > 0.9


def test_at_a_large_weight_order_is_the_content_neighbours(restored: dict[str, RestoredRun]) -> None:
    """Whatever the run: an id run and one with a side network then rank alike, by the towers' output vectors."""
    runs = [restored[name] for name in ("full", "id")]
    ranks = [neighbours_of(run).rank(run.split.test, [LARGE])[0].ranks for run in runs]
    assert np.abs(ranks[0] - ranks[1]).max() <= 1
    assert (ranks[0] != neighbours_of(runs[0]).rank(runs[0].split.test, [0.0])[0].ranks).any()


def test_a_store_says_what_the_towers_say(restored: dict[str, RestoredRun]) -> None:
    live, stored = (FrozenContent(run=restored[name]) for name in ("iisan", "iisan_cached"))
    rows = stored.of_candidates()
    widths = live.pretrained.widths().values()
    assert rows.shape == (len(live.run.split.items), sum(widths))
    np.testing.assert_allclose(rows, live.of_candidates(), atol=2e-2)
    np.testing.assert_allclose(stored.of_items(stored.run.split.items), live.of_candidates(), atol=1e-5)


def test_what_training_moved_is_not_what_content_says(restored: dict[str, RestoredRun]) -> None:
    """Towers of a run that trained them are read as they were before."""
    run = restored["full"]
    with torch.inference_mode():
        batch = run.module.content.batch(np.arange(8)).to(run.device)
        trained = torch.cat(list(run.module.recommender.item_encoder.towers(batch).values()), dim=1)
    assert np.abs(FrozenContent(run=run).of_candidates()[:8] - trained.numpy()).max() > 1e-3


def test_validation_chooses_the_smallest_weight_within_a_standard_error(restored: dict[str, RestoredRun]) -> None:
    run = restored["full"]
    neighbours = neighbours_of(run)
    chosen = neighbours.choose("auto")
    ranked = neighbours.rank(run.split.validation, WEIGHTS)
    hits = [((each.ranks <= 10) & ~each.is_unreachable).astype(np.float64) for each in ranked]
    assert chosen.monitor == "hr@10"
    assert chosen.validation == {weight: each.mean() for weight, each in zip(WEIGHTS, hits, strict=True)}
    best = max(hits, key=np.mean)
    errors = [np.std(best - each) / np.sqrt(len(each)) for each in hits]
    near = [best.mean() - each.mean() <= error for each, error in zip(hits, errors, strict=True)]
    assert chosen.weight == min(weight for weight, is_near in zip(WEIGHTS, near, strict=True) if is_near)
    own = rank_users(run.module, run.split.validation, sequence_length=run.split.sequence_length, block=64)
    assert chosen.validation[0.0] == ranking_metrics(own.ranks, own.is_unreachable)["hr@10"]


@pytest.mark.parametrize(
    ("num_better", "num_worse", "weight"),
    [(2, 1, 0.0), (40, 39, 0.0), (30, 0, 0.5), (0, 3, 0.0)],
)
def test_a_gain_that_may_be_luck_chooses_nothing(
    num_better: int, num_worse: int, weight: float, restored: dict[str, RestoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 users, so many are found at 0.5 alone, and so many lost there; at every other weight nothing changes. 20
    more, whose target repeats their last item, are found at 3."""
    run = restored["full"]
    histories = Interactions.from_lists([f"u{user}" for user in range(120)], [[1, 2]] * 120)
    cases = RankingCases(histories=histories, targets=np.repeat(np.array([3, 2], dtype=np.int32), [100, 20]))
    run = replace(run, split=replace(run.split, validation=cases))

    def rank(*_: object) -> list[UserRanks]:
        own = np.where(np.arange(120) < 50, 1, 11)
        other, repeated = own.copy(), own.copy()
        other[50 : 50 + num_better], other[:num_worse], repeated[100:] = 1, 11, 1
        nobody = np.zeros(120, dtype=np.bool_)
        return [UserRanks(ranks={0.5: other, 3.0: repeated}.get(each, own), is_unreachable=nobody) for each in WEIGHTS]

    monkeypatch.setattr(NeighboursOfRun, "rank", rank)
    chosen = neighbours_of(run).choose("auto")
    assert chosen.weight == weight
    best = 0.5 + max(num_better - num_worse, 0) / 100
    said = {
        (2, 1): "0.5000 without them; 0.5100 at 0.5 is within a standard error",
        (40, 39): "0.5000 without them; 0.5100 at 0.5 is within a standard error",
        (30, 0): f"{best:.4f}, 0.5000 without them",
        (0, 3): "0.5000 without them",
    }[num_better, num_worse]
    assert chosen.to_text() == f"content_neighbours={weight:g}, chosen by validation hr@10 of new targets: {said}"


def test_a_given_weight_is_taken(restored: dict[str, RestoredRun]) -> None:
    given = neighbours_of(restored["full"]).choose(0.7)
    assert (given.weight, given.validation, given.to_text()) == (0.7, {}, "content_neighbours=0.7")


def test_the_verb_says_what_neighbours_change(
    runs: dict[str, Path], restored: dict[str, RestoredRun], capsys: pytest.CaptureFixture[str]
) -> None:
    tried = neighbours_of(restored["iisan_cached"]).on_test("auto")
    assert cli.main(["evaluate", f"run={runs['iisan_cached']}", "content_neighbours=auto"]) == 0
    shown = capsys.readouterr().out
    assert "equal to the recorded figures\n\n| targets |" in shown
    for segment in ("all", "warm", "cold"):
        figures = " | ".join(f"{side[segment]['hr@10']:.4f}" for side in (tried.without, tried.with_them))
        assert f"| {segment} | {tried.without[segment]['num_users']:.0f} | {figures} |" in shown
        change = tried.difference[segment]
        gained = tried.with_them[segment]["hr@10"] - tried.without[segment]["hr@10"]
        assert change.mean == pytest.approx(gained)
        assert f" | {change.mean:+.4f} ± {change.standard_error:.4f} |\n" in shown
    assert shown.endswith(f"\n{tried.chosen.to_text()}\n")
    assert f"content_neighbours={tried.chosen.weight:g}, chosen by validation hr@10 of new targets: " in shown


def test_a_run_without_towers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = small_settings(tmp_path, "id", trainer={"max_epochs": 1}, towers={"text": None, "image": None})
    run = train_run(settings).run_directory
    monkeypatch.setattr(ServedCatalogue, "of", lambda _: pytest.fail("encoded"))
    for words in (
        ["evaluate"],
        ["recommend", "user=user00001"],
        ["recommend", "users=all", f"to={tmp_path}/a.parquet"],
    ):
        assert cli.main([*words, f"run={run}", "content_neighbours=auto"]) == 2
        assert capsys.readouterr().err == (
            f"error: content_neighbours: towers.text and towers.image of {run} are null, so nothing is known of what "
            "its items are: say content_neighbours=off, or take a run that has towers\n"
        )


@pytest.mark.parametrize("text", ["lots", "-1", "nan", "1e300", "1e999", "true"])
def test_what_is_no_weight_is_refused_before_a_run_is_read(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["evaluate"], ["recommend", "user=u1"], ["recommend", "users=all", "to=a.parquet"]):
        assert cli.main([*words, "run=nowhere", f"content_neighbours={text}"]) == 2
        said = capsys.readouterr().err
        assert "expected auto, off, or a number from 0 to 1,000,000; such as content_neighbours=0.25" in said
