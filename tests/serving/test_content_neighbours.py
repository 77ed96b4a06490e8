"""Recommendations with content neighbours: the sum by a literal loop, alike from every door, and none at weight 0."""

import json
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import numpy as np
import pandas as pd
import pytest

from peftrec.cli.main import main
from peftrec.errors import SettingsError
from peftrec.serving.loaded_run import LoadedRun
from peftrec.training.run.restored_run import RestoredRun

RUNS = [("full", None), ("iisan_cached", None), ("id", None), ("iisan_cached", "text")]
Restore = Callable[..., RestoredRun]
WEIGHT = 0.75

pytestmark = pytest.mark.usefixtures("answers_from_restored")


@pytest.fixture
def loaded(restored: Restore) -> LoadedRun:
    return LoadedRun(directory=restored("iisan_cached").directory)


@pytest.mark.parametrize(("strategy", "without"), RUNS)
def test_scores_are_the_sum(strategy: str, without: str | None, restored: Restore) -> None:
    run = LoadedRun(directory=restored(strategy, without=without).directory)
    vectors = run.neighbours.of_candidates.vectors.astype(np.float64)
    rows = {item: row for row, item in enumerate(run.items["item"])}
    for user in ("u1", "u5"):
        history = run.history(user)
        answer = run.recommend([user], k=12, content_neighbours=WEIGHT)
        own = run.item_vectors.astype(np.float64) @ run.user_state(history)
        cosines = vectors @ vectors[rows[history[-1]]]
        scores = own + WEIGHT * own.std() / cosines.std() * cosines
        assert answer["score"].tolist() == pytest.approx([scores[rows[item]] for item in answer["item"]], abs=1e-4)
        left = sorted((scores[row] for item, row in rows.items() if item not in history), reverse=True)
        assert answer["score"].tolist() == pytest.approx(left[:12], abs=1e-4)


def test_weight_0_is_the_run_itself_to_the_last_bit(loaded: LoadedRun) -> None:
    expected = loaded.recommend(loaded.users, k=6)
    assert loaded.recommend(loaded.users, k=6, content_neighbours=0.0).equals(expected)
    assert loaded.recommend(loaded.users, k=6, content_neighbours="off").equals(expected)
    assert not loaded.recommend(loaded.users, k=6, content_neighbours=1.0).equals(expected)


def test_at_a_large_weight_the_order_is_the_content_neighbours(loaded: LoadedRun) -> None:
    answer = loaded.recommend(["u3"], k=10, content_neighbours=1e4)
    vectors, history = loaded.neighbours.of_candidates.vectors, loaded.history("u3")
    rows = {item: row for row, item in enumerate(loaded.items["item"])}
    cosines = {item: float(vectors[row] @ vectors[rows[history[-1]]]) for item, row in rows.items()}
    best = sorted((cosine for item, cosine in cosines.items() if item not in history), reverse=True)[:10]
    assert [cosines[item] for item in answer["item"]] == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("weight", ["0.5", "auto"])
def test_every_door_gives_the_same(
    weight: str, loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One user, many users in a file, and Python; to the last bit, with the weight said."""
    words = ["recommend", f"run={loaded.directory}", "k=5", f"content_neighbours={weight}"]
    chosen = loaded.chosen_weight("auto" if weight == "auto" else float(weight))
    assert chosen is not None
    asked = loaded.recommend(loaded.users, k=5, content_neighbours="auto" if weight == "auto" else 0.5)
    assert main([*words, "users=all", f"to={tmp_path / 'all.parquet'}"]) == 0
    assert f"\n{chosen.to_text()}\n" in capsys.readouterr().out
    found = pd.read_parquet(tmp_path / "all.parquet")
    pd.testing.assert_frame_equal(found, asked.drop(columns="title"), check_dtype=False, check_exact=True)
    for user, rows in found.groupby("user"):
        assert main([*words, f"user={user}", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [each["score"] for each in told["recommendations"]] == rows["score"].tolist()
        assert [each["item"] for each in told["recommendations"]] == rows["item"].tolist()
        assert told["content_neighbours"]["weight"] == chosen.weight
    assert main([*words, "user=u1"]) == 0
    assert f"\n{chosen.to_text()}\n" in capsys.readouterr().out
    history = loaded.recommend_to_histories([loaded.history("u2")], k=5, content_neighbours=chosen.weight)
    assert history["score"].tolist() == asked.loc[asked["user"] == "u2", "score"].tolist()


@pytest.mark.parametrize("strategy", ["full", "iisan_cached"])
def test_a_copy_of_an_item_has_its_score(strategy: str, restored: Restore, tables: Path) -> None:
    """New items are known by content, from the towers that say it of the run's own."""
    run = LoadedRun(directory=restored(strategy).directory)
    images = [str(tables / "images" / f"{item}.png") for item in run.items["item"]]
    new = pd.DataFrame({"item": "new-" + run.items["item"], "title": run.items["title"], "image": images})
    before = run.recommend(["u3"], k=len(run.items), seen=True, content_neighbours=WEIGHT)
    both = run.recommend(["u3"], k=2 * len(run.items), seen=True, candidates=new, content_neighbours=WEIGHT)
    scores = both.set_index("item")["score"]
    assert scores[before["item"]].tolist() == before["score"].tolist()
    copies = scores["new-" + before["item"]].to_numpy()
    # The store keeps states in 16 bits, and a copy's are computed now.
    np.testing.assert_allclose(copies, before["score"], atol=1e-4 if strategy == "full" else 2e-2)


def test_python_evaluates_what_it_recommends(loaded: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = loaded.evaluate_content_neighbours()
    assert tried.chosen == loaded.chosen_weight("auto")
    assert tried.without["all"]["hr@10"] == loaded.record.test["hr@10"]
    assert loaded.evaluate_content_neighbours(0.5).chosen.weight == 0.5
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in users' programs
    for wrong in ("much", -0.5, True, None, float("nan")):
        with pytest.raises(SettingsError, match=r"content_neighbours=.*: expected auto, off, or a number from 0"):
            loaded.recommend(["u3"], content_neighbours=wrong)  # type: ignore[arg-type]


def test_a_profile_has_no_scores_to_add_to(loaded: LoadedRun, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recommend", f"run={loaded.directory}", "user=u1", "profile=last_item"]
    assert main([*words, "content_neighbours=auto"]) == 2
    assert "content_neighbours=auto: they count beside the scores of the run's user encoder" in capsys.readouterr().err
    assert main([*words, "content_neighbours=off"]) == 0
