"""What a dashboard shows is what the report's table says, and what trials of a tuning tried."""

from pathlib import Path

import pytest

from dashboard_records import write_trials
from made_up_records import STRATEGIES, made_up_ranks, made_up_record, write_example_records, write_run
from peftrec.dashboards.content import compared, content_of
from peftrec.dashboards.standings import standings
from peftrec.errors import RecordError
from peftrec.results import tables
from peftrec.results.comparison import compare
from peftrec.results.runs import find_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example_records(tmp_path_factory.mktemp("runs"), seeds=2, num_users=40)


def test_the_table_is_the_reports_and_every_row_has_its_command(folder: Path) -> None:
    content = content_of(compared(folder))
    comparison = compare(find_runs(folder))  # what the report is made of
    assert content.table == tables.to_markdown(comparison)
    assert (content.num_rows, len(content.commands)) == (len(STRATEGIES), len(STRATEGIES))
    for command, row in zip(content.commands, comparison.strategies, strict=True):
        assert {f"strategy={row.strategy}", "seed=1"} <= set(command.split())
    assert (content.keys, content.groups) == (("strategy_name",), ("made-up-example",))
    assert (content.monitored, content.has_tpme, content.tunings) == ("best_val_hr_at_10", True, ())


def test_each_run_has_its_rows_standing(folder: Path) -> None:
    comparison = compared(folder).comparison
    found = standings(comparison)
    assert set(found) == {run.name for run in comparison.runs}
    for row in comparison.strategies:
        for run in row.runs:
            standing = found[run.name]
            assert (standing.row, standing.tpme) == (row.strategy, comparison.tpme[row.strategy])
            assert (standing.tpme_low, standing.tpme_high) == comparison.band[row.strategy]
            assert standing.is_on_front is comparison.front[row.strategy]


def test_settings_that_tell_rows_of_one_strategy_apart_group_its_runs(tmp_path: Path) -> None:
    for rank in (2, 4):
        ranks = made_up_ranks(0.2, rank, 40)
        record = made_up_record(STRATEGIES[-1], 1, ranks)
        config = {**record.config, "strategy": {"_target_": "made_up.lora", "rank": rank}}
        record = record.model_copy(update={"config": config, "run_id": f"lora-{rank}", "question_hash": str(rank)})
        write_run(tmp_path / record.run_id, record, ranks)
    assert content_of(compared(tmp_path)).keys == ("strategy_name", "strategy.rank")


def test_a_tuning_shows_the_keys_that_its_trials_changed(folder: Path, tmp_path: Path) -> None:
    home = write_example_records(tmp_path, seeds=1, num_users=40)
    rates = [{"text": 1e-5, "recommender": 1e-3, "decay": "none"}, {"text": 1e-3, "recommender": 2e-3, "decay": "none"}]
    write_trials(home, "lora", rates)
    (tuning,) = content_of(compared(home)).tunings
    assert (tuning.strategy, tuning.group, tuning.num_trials) == ("lora", "made-up-example/trials", 2)
    assert [(each.key, each.is_logarithmic) for each in tuning.keys] == [
        ("learning_rates.recommender", False),
        ("learning_rates.text", True),
    ]


def test_a_folder_without_runs_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record\.json below this folder"):
        compared(tmp_path)
