"""W&B offline: one finished run a job, whole, grouped, silent, and read back by W&B's own reader."""

from pathlib import Path

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from offline_runs import offline_files, read_offline
from peftrec.results.record import Record, read_record
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.figures import Standing, TrialName, epoch_figures, final_figures
from peftrec.trackers.wandb_run import LONGEST_ID, WandbRun, log_again, wandb_id
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import train_run
from peftrec.training.run.trial_watch import TrialOrder
from small_runs import small_settings

pytestmark = pytest.mark.integration

wandb = pytest.importorskip("wandb")
OFFLINE = LoggerSettings(wandb="offline", wandb_project="made-up")
STANDING = Standing(row="lora", tpme=0.5, tpme_low=0.4, tpme_high=0.6, pscp=None, is_on_front=True)


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(STRATEGIES[-1], 1, made_up_ranks(0.3, 1, 50))


def test_a_record_is_one_run_with_all_that_it_has(
    record: Record, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = log_again(OFFLINE, record, tmp_path, STANDING)
    (file,) = offline_files(tmp_path)
    assert file.parent == folder
    found = read_offline(file)
    assert (found.overview["state"], found.overview["exit_code"]) == ("finished", 0)
    assert (found.overview["name"], found.overview["project"]) == ("lora seed=1", "made-up")
    assert (found.begun["run_group"], found.begun["job_type"]) == (record.experiment, "lora")
    assert found.overview["tags"] == ["lora", "train"]
    settings = {key: value for key, value in found.overview["config"].items() if key != "origin"}
    assert settings == record.config  # groups at the top level, as the configuration has them
    assert found.overview["config"]["origin"]["run_id"] == record.run_id
    expected = final_figures(record, STANDING)
    assert {name: found.overview["summary"][name] for name in expected} == pytest.approx(expected)
    assert [line["epoch"] for line in found.history] == [1, 2, 3, 4, 5, 6]
    for line, epoch in zip(found.history, record.epochs, strict=True):
        told = epoch_figures(epoch)
        assert {name: line[name] for name in told} == pytest.approx(told)
        assert line["_step"] == line["epoch"]
    assert capfd.readouterr() == ("", "")
    assert wandb.run is None


def test_curves_are_over_epochs_and_aliases_make_no_panels(record: Record, tmp_path: Path) -> None:
    log_again(OFFLINE, record, tmp_path, None)
    (file,) = offline_files(tmp_path)
    metrics = read_offline(file).of_type("metric")
    over = {each.get("glob_name"): each.get("step_metric") for each in metrics}
    hidden = {each.get("glob_name", each.get("name")) for each in metrics if each["options"].get("hidden")}
    assert over["*"] == "epoch"
    assert hidden == {"epoch", "val_*", "best_val_*", "test_*", "baseline_*"}


def test_what_was_logged_before_gives_way(record: Record, tmp_path: Path) -> None:
    former = tmp_path / "wandb" / f"offline-run-20260101_000000-{wandb_id(record)}"
    another = tmp_path / "wandb" / "offline-run-20260101_000000-another"
    for folder in (former, another):
        folder.mkdir(parents=True)
    folder = log_again(OFFLINE, record, tmp_path, STANDING)
    assert {each.name for each in (tmp_path / "wandb").glob("offline-run-*")} == {folder.name, another.name}


def test_each_job_is_one_finished_run(tmp_path: Path) -> None:
    for seed in (1, 2):
        settings = small_settings(tmp_path, "id", seed=seed, logger={"wandb": "offline"}, trainer={"max_epochs": 1})
        run_directory = train_run(settings).run_directory
        assert wandb.run is None  # finished: the next job starts its own
        (file,) = offline_files(run_directory)
        record, found = read_record(run_directory), read_offline(file)
        assert found.overview["run_id"] == f"small-{record.run_id}"
        assert found.overview["name"] == f"id seed={seed}"
        expected = final_figures(record)
        assert {name: found.overview["summary"][name] for name in expected} == pytest.approx(expected)
    assert len(offline_files(tmp_path)) == 2


def test_a_resumed_run_is_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_settings(tmp_path, "id", logger={"wandb": "offline"})
    training_step = RecommenderModule.training_step

    def fail_in_third_epoch(self: RecommenderModule, batch: object, batch_idx: int) -> object:
        if self.current_epoch == 2:
            raise ArithmeticError("for the test")
        return training_step(self, batch, batch_idx)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(RecommenderModule, "training_step", fail_in_third_epoch)
        with pytest.raises(ArithmeticError):
            train_run(settings)
    assert wandb.run is None
    (file,) = offline_files(tmp_path)
    failed = read_offline(file).overview
    assert (failed["exit_code"], failed["summary"]["status"], failed["summary"]["epochs"]) == (1, "failed", 2)

    run_directory = train_run(settings).run_directory
    (file,) = offline_files(tmp_path)
    found, record = read_offline(file), read_record(run_directory)
    assert len(record.stretches) == 2
    assert [line["epoch"] for line in found.history] == [1, 2, 3, 4]
    assert [line["val/hr@10"] for line in found.history] == [each.validation["hr@10"] for each in record.epochs]
    assert found.overview["summary"]["status"] == "success"


def test_a_trial_is_grouped_apart_and_says_which_it_is(tmp_path: Path) -> None:
    name = TrialName(number=3, origin="random")
    order = TrialOrder(folder=str(tmp_path / "meeting"), name=name)
    (tmp_path / "meeting").mkdir()
    assert TrialOrder.model_validate_json(order.model_dump_json()) == order
    settings = small_settings(tmp_path, "id", logger={"wandb": "offline"}, trainer={"max_epochs": 1})
    run_directory = train_run(settings, order).run_directory
    (file,) = offline_files(run_directory)
    found = read_offline(file)
    assert (found.begun["run_group"], found.overview["name"]) == ("small/trials", "id trial 3 (random)")
    assert found.overview["config"]["trial"] == {"number": 3, "origin": "random"}
    record = read_record(run_directory)
    assert record.chosen_validation is not None
    assert found.overview["summary"]["best_val_hr_at_10"] == record.chosen_validation["hr@10"]
    assert not [name for name in found.overview["summary"] if name.startswith("test")]


def test_one_run_of_two_experiments_has_two_ids_and_none_is_too_long(record: Record) -> None:
    ids = [wandb_id(record.model_copy(update={"experiment": name})) for name in ("a", "b", "c" * 300, "c" * 301)]
    assert len(set(ids)) == 4
    assert ids[0] == f"a-{record.run_id}"
    assert max(map(len, ids)) == LONGEST_ID


def test_online_goes_on_behind_the_servers_last_epoch(record: Record, tmp_path: Path) -> None:
    """Without a server: what W&B would say of the run is made up."""

    class AtServer:
        starting_step = 4  # epochs 1 to 3 are there

        def define_metric(self, *_: object, **__: object) -> None: ...

    tracker = WandbRun(LoggerSettings(wandb="online"), record, tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wandb, "init", lambda **how: AtServer() if how["resume"] == "allow" else None)
        assert tracker.begin() == 3
