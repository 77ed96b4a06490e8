"""MLflow on a file, read back by its client. Making its tables takes seconds."""

import logging
from pathlib import Path
from typing import Any

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.runs import find_runs
from peftrec.settings.run import LoggerSettings
from peftrec.settings.run_identity import flat_config
from peftrec.trackers.figures import epoch_figures, final_figures, numbers
from peftrec.trackers.mlflow_run import RECORD_COPY, tracking_uri
from peftrec.trackers.tracking import begin_trackers

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")
MLFLOW = LoggerSettings(mlflow=True)


def test_the_store_is_a_file_beside_the_runs_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(MLFLOW, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert tracking_uri(MLFLOW, tmp_path) == "http://one"
    assert tracking_uri(LoggerSettings(mlflow=True, mlflow_uri="http://two"), tmp_path) == "http://two"


@pytest.fixture
def quiet() -> Any:
    """SQLAlchemy warns of what MLflow does; and MLflow leaves levels of logging behind."""
    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore")
def test_a_run_its_resumption_and_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = made_up_record(STRATEGIES[-1], 1, made_up_ranks(0.3, 1, 50))
    record = record.model_copy(update={"config": {**record.config, "runs_dir": str(tmp_path)}})
    write_record(record, tmp_path)

    begin_trackers(MLFLOW, record, tmp_path).after_epoch(record.epochs[:4])  # and then it was killed
    stretches = [*record.stretches, record.stretches[0].model_copy(update={"first_epoch": 3})]
    resumed = record.model_copy(update={"stretches": stretches})
    feed = begin_trackers(MLFLOW, resumed, tmp_path)
    feed.after_epoch(resumed.epochs[:4])
    feed.end(resumed)
    trial = record.model_copy(update={"kind": "trial", "run_id": "lora-trial", "evaluation": None})
    begin_trackers(MLFLOW, trial, tmp_path).end(trial.model_copy(update={"status": "interrupted"}))

    assert_one_whole_run(resumed, tmp_path)
    (other,) = runs_of("made-up-example/trials", tmp_path)
    assert (other.data.tags["kind"], other.info.status) == ("trial", "KILLED")
    assert not [name for name in other.data.metrics if name.startswith("test")]


def runs_of(experiment: str, folder: Path) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(MLFLOW, folder))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def assert_one_whole_run(record: Record, folder: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(MLFLOW, folder))
    (run,) = runs_of(record.experiment, folder)
    assert (run.info.run_name, run.info.status) == ("lora seed=1", "FINISHED")
    assert (run.data.tags["peftrec.run_id"], run.data.tags["status"]) == (record.run_id, "success")
    assert run.data.params == {name: str(value) for name, value in flat_config(record.config).items()}
    for name in (name for name in epoch_figures(record.epochs[0]) if "@" not in name):
        history = sorted(client.get_metric_history(run.info.run_id, name), key=lambda each: each.step)
        assert [each.step for each in history] == [1, 2, 3, 4, 5, 6], name
        assert [each.value for each in history] == [epoch_figures(epoch)[name] for epoch in record.epochs]
    expected = {name: value for name, value in numbers(final_figures(record)).items() if "@" not in name}
    assert {name: run.data.metrics[name] for name in expected} == expected
    assert run.data.metrics["test_hr_at_10"] == record.evaluation.test["hr@10"]  # type: ignore[union-attr]
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == [RECORD_COPY]
    assert str(folder) in run.info.artifact_uri
    copy = Path(run.info.artifact_uri.removeprefix("file://")) / RECORD_COPY
    assert read_record(copy) == read_record(folder)
    assert [found.folder for found in find_runs(folder, with_trials=True)] == [folder]  # no copy counts as a run
