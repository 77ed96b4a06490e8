"""How a run is named without its hash."""

import shutil
from pathlib import Path

import pytest

from made_up_records import write_example_records
from peftrec.errors import RecordError
from peftrec.results.named_run import named_run
from peftrec.results.record import read_record, write_record
from peftrec.results.runs import find_runs

FIRST, SECOND = "0123456789ab", "ba9876543210"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with lora-FIRST and lora_published-FIRST."""
    made_up = find_runs(write_example_records(tmp_path / "made", seeds=1, num_users=20))[0].folder
    for name in ("lora", "lora_published"):
        shutil.copytree(made_up, tmp_path / "runs" / f"{name}-{FIRST}")
    return tmp_path / "runs"


def copy_of(folder: Path, digits: str, **changes: object) -> Path:
    """Return a copy of a run under another hash."""
    copy = folder.with_name(folder.name.replace(FIRST, digits))
    shutil.copytree(folder, copy)
    write_record(read_record(copy).model_copy(update={"run_id": copy.name, **changes}), copy)
    return copy


def test_a_run_is_named_by_its_folder_or_without_the_hash(runs: Path) -> None:
    whole = runs / f"lora-{FIRST}"
    assert named_run(whole) == whole
    assert named_run(runs / "lora") == whole
    assert named_run(runs / "lora_published") == runs / f"lora_published-{FIRST}"


def test_no_run_is_taken_for_one_that_is_called_otherwise(runs: Path) -> None:
    (runs / f"full-{FIRST}").mkdir()  # without a record
    for name, hint in (
        ("lor", f"did you mean run={runs}/lora?"),
        (f"lora-{SECOND}", f"did you mean run={runs}/lora?"),
        ("full", "those there are lora, lora_published"),
        ("l*", "those there are lora, lora_published"),
    ):
        with pytest.raises(RecordError) as caught:
            named_run(runs / name)
        assert str(caught.value) == f"{runs / name}: no such run; {hint}"
    assert named_run(runs.parent / "nowhere" / "lora") == runs.parent / "nowhere" / "lora"


def test_of_several_runs_of_a_name_one_must_be_chosen(runs: Path) -> None:
    copy_of(runs / f"lora-{FIRST}", SECOND, question_hash="another")
    with pytest.raises(RecordError) as caught:
        named_run(runs / "lora")
    first, *choices = str(caught.value).splitlines()
    assert first == f"{runs / 'lora'}: 2 runs are called so; give one of"
    assert choices == [f"  run={runs}/lora-{digits}   seed=1, success" for digits in (FIRST, SECOND)]


def test_runs_of_a_name_are_told_apart_by_their_settings(runs: Path) -> None:
    """As rows of a table are: two seeds of nothing else would read the same."""
    first = runs / f"lora-{FIRST}"
    config = read_record(first).config
    copy_of(first, SECOND, question_hash="another", config=config | {"objective": {"_target_": "own.Tempered"}})
    with pytest.raises(RecordError) as caught:
        named_run(runs / "lora")
    assert str(caught.value).splitlines()[2] == f"  run={runs}/lora-{SECOND}   seed=1, Tempered, success"


def test_of_several_answers_to_one_question_the_latest_codes_counts(runs: Path) -> None:
    first = runs / f"lora-{FIRST}"
    latest = read_record(first).latest.model_copy(update={"started_at": "2999-01-01T00:00:00+00:00"})
    later = copy_of(first, SECOND, stretches=[latest])
    assert named_run(runs / "lora") == later
    assert named_run(first) == first


def test_the_folder_of_an_experiment_is_answered_with_its_runs(runs: Path) -> None:
    with pytest.raises(RecordError) as caught:
        named_run(runs)
    first, *choices = str(caught.value).splitlines()
    assert first == f"{runs}: a folder of 2 runs; give one of them"
    assert choices == [f"  run={runs}/{name}-{FIRST}" for name in ("lora", "lora_published")]
