"""`peftrec tune` from its words to its table, with real trials."""

from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli.main import main
from peftrec.results.runs import find_runs

pytestmark = pytest.mark.integration

pytest.importorskip("optuna")

WORDS = [
    *("tune", "strategy=id,frozen_cached", "data.num_users=60", "data.num_items=100", "embedding_dim=16"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=2", "trainer.has_progress_bar=false", "name=tuned"),
    *("budget.trials=4", "final_seeds=1,2", "measure=never"),
]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_words_to_table_and_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, f"runs_dir={tmp_path}"]
    assert main([*words, "--dry-run"]) == 0
    assert "in all: 12 jobs" in capfd.readouterr().out
    assert not list(tmp_path.iterdir())
    assert main(words) == 0
    home = tmp_path / "tuned"
    trials = pd.read_csv(home / "tuning" / "trials.csv")
    assert trials.groupby("strategy").size().to_dict() == {"id": 4, "frozen_cached": 4, "item_knn": 4}
    assert set(trials["state"]) <= {"complete", "pruned"}
    finals = find_runs(home)
    assert sorted((run.record.strategy, run.record.seed) for run in finals) == [
        *(("frozen_cached", 1), ("frozen_cached", 2), ("id", 1), ("id", 2))
    ]
    assert len(find_runs(home, with_trials=True)) == 12
    table = (home / "tuning" / "table.md").read_text()
    assert "| item_knn, tuned |" in table
    assert "Each strategy had 4 trials" in table
    for name in ("budget.csv", "budget.svg", "importance.json", "table.csv"):
        assert (home / "tuning" / name).stat().st_size
    for strategy in ("id", "frozen_cached"):
        own = trials[(trials["strategy"] == strategy) & (trials["state"] == "complete")]
        rate = own.loc[own["validation"].idxmax(), "learning_rates.recommender"]
        used = {run.record.config["learning_rates"]["recommender"] for run in finals if run.record.strategy == strategy}  # type: ignore[index, call-overload]
        assert used == {rate}
    before = {path: path.read_bytes() for path in home.rglob("record.json")}
    capfd.readouterr()
    assert main(words) == 0
    assert {path: path.read_bytes() for path in home.rglob("record.json")} == before
    assert main([*words, "--dry-run"]) == 0
    assert "in all: 4 jobs" in capfd.readouterr().out
    later = [word.replace("id,frozen_cached", "lst_cached").replace("trials=4", "trials=1") for word in words]
    assert main([*later, "item_knn=false"]) == 0
    budgets = pd.read_csv(home / "tuning" / "table.csv").set_index("strategy")["budget"].str.partition(",")[0]
    assert budgets[["id", "frozen_cached", "lst_cached"]].to_dict() == {
        **dict.fromkeys(("id", "frozen_cached"), "4 trials"),
        "lst_cached": "1 trial",
    }
    said = (home / "tuning" / "table.md").read_text()
    assert "had 1 trial (id, frozen_cached, item_knn, tuned before, what the column says)" in said
