"""The baselines against plain loops."""

from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.cold_start.baselines import ContentNeighbours, Popularity, lent_pairs, similarity_to_warm
from peftrec.cold_start.evaluation import evaluate, selection_score
from peftrec.cold_start.method import Task, Training
from peftrec.cold_start.pairs import ColdStartData, Side
from small_pairs import write_split


def task_of(data: ColdStartData) -> Task:
    def factors() -> None:
        raise AssertionError("a baseline reads no factors")

    return Task(data=data, training=Training(), factors=factors, seed=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("cold_side", ["items", "users"])
def test_neighbours_lend_their_pairs(tmp_path: Path, cold_side: Side) -> None:
    data = write_split(tmp_path, cold_side=cold_side).read()
    content = data.content.to_dense().numpy().astype(np.float64)
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    cold = np.unique(data.test.side(cold_side))
    similarity = similarity_to_warm(data, torch.from_numpy(cold))
    found = lent_pairs(data, similarity, 3).numpy()
    trained = sorted(set(data.train.side(cold_side).tolist()))
    other_side: Side = "users" if cold_side == "items" else "items"
    taken = set(zip(data.train.side(cold_side).tolist(), data.train.side(other_side).tolist(), strict=True))
    for row, one in enumerate(cold[:4].tolist()):
        cosines = {warm: max(0.0, float(unit[one] @ unit[warm])) for warm in trained}
        nearest = sorted(trained, key=lambda warm: -cosines[warm])[:3]
        for other in range(0, data.count(other_side), 7):
            expected = sum(cosines[warm] for warm in nearest if (warm, other) in taken)
            assert found[row, other] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("cold_side", ["items", "users"])
def test_validation_chooses_how_many(tmp_path: Path, cold_side: Side) -> None:
    data = write_split(tmp_path, cold_side=cold_side).read()
    candidates = data.candidates_of(data.validation)
    scores = {}
    for number in (1, 5, 30):
        alone = ContentNeighbours(name="n", num_neighbours=(number,)).fit(task_of(data))
        scores[number] = selection_score(evaluate(alone.scorer, data.validation, candidates))
    chosen = ContentNeighbours(name="n", num_neighbours=(1, 5, 30)).fit(task_of(data))
    assert scores[chosen.chosen["num_neighbours"]] == max(scores.values())
    assert selection_score(evaluate(chosen.scorer, data.validation, candidates)) == max(scores.values())


def test_popularity_counts_training_pairs(tmp_path: Path) -> None:
    data = write_split(tmp_path, cold_side="users").read()
    scores = Popularity(name="p").fit(task_of(data)).scorer.scores(torch.tensor([80, 81]), torch.arange(data.num_items))
    assert torch.equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0].numpy(), np.bincount(data.train.items, minlength=data.num_items))


def test_popularity_knows_no_new_item(tmp_path: Path) -> None:
    """All tie, and ties count against the right one: only users for whom nearly all is right have hits."""
    data = write_split(tmp_path).read()
    scorer = Popularity(name="p").fit(task_of(data)).scorer
    assert not scorer.scores(torch.arange(data.num_users), torch.from_numpy(data.candidates_of(data.test))).any()
