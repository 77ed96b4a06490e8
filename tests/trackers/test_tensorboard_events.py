"""TensorBoard's files, read back by TensorBoard."""

import math
from pathlib import Path

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import Record
from peftrec.settings.run import LoggerSettings
from peftrec.trackers.figures import epoch_figures, final_figures, numbers
from peftrec.trackers.tensorboard_events import FOLDER, TensorBoardEvents
from peftrec.trackers.tracking import begin_trackers

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(STRATEGIES[-1], 1, made_up_ranks(0.3, 1, 50))


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def logged(record: Record, folder: Path, *, epochs: int, ends: bool = True) -> EventAccumulator:
    feed = begin_trackers(LoggerSettings(tensorboard=True), record, folder)
    feed.after_epoch(record.epochs[:epochs])
    if ends:
        feed.end(record)
    return read(folder / FOLDER)


def test_curves_and_the_end_under_the_same_names(record: Record, tmp_path: Path) -> None:
    found = logged(record, tmp_path, epochs=6)
    for name in epoch_figures(record.epochs[0]):
        events = found.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3, 4, 5, 6]
        assert [event.value for event in events] == pytest.approx([epoch_figures(each)[name] for each in record.epochs])
    for name, value in numbers(final_figures(record)).items():
        (event,) = found.Scalars(name)
        assert math.isclose(event.value, value, rel_tol=1e-6)
        assert event.step == 6


def test_settings_stand_under_hparams(record: Record, tmp_path: Path) -> None:
    content = logged(record, tmp_path, epochs=6).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    parameters = HParamsPluginData.FromString(content).session_start_info.hparams
    assert parameters["strategy._target_"].string_value == "made_up.lora"
    assert parameters["seed"].number_value == 1
    assert parameters["trainer.precision"].string_value == "32-true"


def test_an_epoch_is_there_when_it_is_trained(record: Record, tmp_path: Path) -> None:
    assert len(logged(record, tmp_path, epochs=2, ends=False).Scalars("val/hr@10")) == 2


def test_a_resumed_run_has_each_epoch_once(record: Record, tmp_path: Path) -> None:
    logged(record, tmp_path, epochs=4, ends=False)
    found = logged(record, tmp_path, epochs=3)
    assert [event.step for event in found.Scalars("val/hr@10")] == [1, 2, 3, 4, 5, 6]
    assert len(list((tmp_path / FOLDER).glob("events.*"))) == 1


def test_a_folder_that_cannot_be_written_is_told_at_the_start(record: Record, tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(OSError, match="exists"):
        TensorBoardEvents(record, tmp_path).begin()
