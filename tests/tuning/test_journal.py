"""The journal survives what kills its writer."""

from pathlib import Path

import pytest

from peftrec.errors import RecordError, UserError
from peftrec.tuning.journal import JOURNAL_FILE, copied_journal, opened_journal

optuna = pytest.importorskip("optuna")


def test_a_broken_last_line_is_cut_off(tmp_path: Path) -> None:
    with opened_journal(tmp_path) as storage:
        study = optuna.create_study(study_name="lora", storage=storage)
        study.tell(study.ask(), 1.0)
    journal = tmp_path / JOURNAL_FILE
    whole = journal.read_bytes()
    for length in (1, 10, len(whole.splitlines(keepends=True)[-1]) - 1):
        journal.write_bytes(whole + whole[-len(whole.splitlines(keepends=True)[-1]) :][:length])
        with opened_journal(tmp_path) as storage:
            assert journal.read_bytes() == whole
            study = optuna.load_study(study_name="lora", storage=storage)
            study.set_user_attr("told", length)
        with opened_journal(tmp_path) as storage:
            study = optuna.load_study(study_name="lora", storage=storage)
            assert study.user_attrs == {"told": length}
            assert [trial.value for trial in study.trials] == [1.0]


def test_a_lock_that_a_dead_writer_left_holds_nobody_up(tmp_path: Path) -> None:
    with opened_journal(tmp_path):
        pass
    (tmp_path / f"{JOURNAL_FILE}.lock").symlink_to(tmp_path / JOURNAL_FILE)
    with opened_journal(tmp_path) as storage:
        optuna.create_study(study_name="lora", storage=storage)  # else it waits for 30 s, and the test for its limit


def test_two_tuners_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        opened_journal(tmp_path),
        pytest.raises(UserError, match=r"process \d+ on .* tunes here already"),
        opened_journal(tmp_path),
    ):
        pass


@pytest.mark.parametrize("line", [b"\xff\xfe", b'{"op_code": 4', b"[]", b"{}"])
def test_a_line_that_is_none_is_one_message(line: bytes, tmp_path: Path) -> None:
    with opened_journal(tmp_path) as storage:
        optuna.create_study(study_name="lora", storage=storage)
    journal = tmp_path / JOURNAL_FILE
    journal.write_bytes(line + b"\n" + journal.read_bytes())
    says = r"journal\.log:1: no line of a journal of trials; put .* or set name=NAME"
    with pytest.raises(RecordError, match=says):
        copied_journal(tmp_path)
    with pytest.raises(RecordError, match=says), opened_journal(tmp_path):
        pass


def test_a_copy_reads_beside_a_tuner_and_writes_nothing(tmp_path: Path) -> None:
    assert copied_journal(tmp_path) is None
    assert not list(tmp_path.iterdir())
    journal = tmp_path / JOURNAL_FILE
    with opened_journal(tmp_path) as storage:
        study = optuna.create_study(study_name="lora", storage=storage)
        study.tell(study.ask(), 1.0)
        journal.write_bytes(journal.read_bytes() + b'{"op_code": 4')  # which the tuner is writing
        before = journal.read_bytes()
        copy = copied_journal(tmp_path)
        assert copy is not None
        own = optuna.load_study(study_name="lora", storage=copy)
        own.tell(own.ask(), 2.0)
        assert [trial.value for trial in own.trials] == [1.0, 2.0]
    assert journal.read_bytes() == before
