"""Divisions in a report: those of the run beside which they lie, with the figures that their ranks give."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from peftrec.errors import RecordError
from peftrec.results.divisions import RESULT_FILE, GroupFigures, GroupsCosts, GroupsResult, find_results, read_result
from peftrec.results.divisions_table import beside_runs, to_markdown
from peftrec.results.report.report import compare_folder, write_report
from peftrec.results.runs import Run
from peftrec.results.tpme_reference import CostChoices
from peftrec.user_groups.named_division import named_division

COSTS = GroupsCosts(part_bytes=8, parts=1, shared_bytes=8, tower_bytes=8, encoding_seconds=0.1)


def runs_of(folder: Path) -> Mapping[str, Run]:
    return {run.name: run for run in compare_folder(folder, CostChoices()).runs}


def divide(of: Run, *, name: str = "1-made-up", **changes: Any) -> Path:
    """Write a division of one group that ranks everybody as the run does."""
    folder = of.folder / "groups" / name
    folder.mkdir(parents=True)
    shutil.copy(of.folder / "ranks.parquet", folder)
    test = dict(of.evaluation.test)
    group = GroupFigures(
        training_users=3,
        training_windows=3,
        test_users=3,
        chosen_epoch=0,
        num_epochs=1,
        training_seconds=1.0,
        run=test,
        test=test,
    )
    result = GroupsResult(
        config={"number": 1},
        run_id=of.record.run_id,
        question_hash="q",
        modules={},
        packages={},
        finished_at="2026",
        device="cpu",
        trained=[],
        groups=[group],
        run=test,
        test=test,
        users_without_group=0,
        costs=COSTS,
    ).model_copy(update=changes)
    (folder / RESULT_FILE).write_text(result.model_dump_json())
    return folder


def test_a_division_stands_beside_its_run_with_the_runs_own_figures(few: Path) -> None:
    """And not with what a division says of the run."""
    run = runs_of(few)["lora-example1"]
    divide(run, run={})
    frame, unreadable = beside_runs(compare_folder(few, CostChoices()).strategies)
    assert unreadable == []
    assert frame["groups"].tolist() == ["the run", "number=1"]
    assert set(frame["hr@10"]) == {f"{run.evaluation.test['hr@10']:.4f}"}


def test_a_division_of_another_run_answers_nobody(few: Path) -> None:
    """Its parts belong to other weights of the user encoder."""
    runs = runs_of(few)
    folder = divide(runs["lora-example1"], run_id="lora-example9")
    run, says = runs["lora-example1"].folder, "a division of the users of lora-example9, and not of lora-example1; move"
    for ask in (lambda: find_results(run), lambda: named_division(run, "1"), lambda: named_division(run, folder.name)):
        with pytest.raises(RecordError, match=says):
            ask()
    _, unreadable = beside_runs(compare_folder(few, CostChoices()).strategies)
    assert len(unreadable) == 1


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ({}, r"test\.hr@10 is missing; .* remove .*1-made-up and"),
        ({"hr@10": 0.99, "ndcg@10": 0.5}, r"test\.hr@10 is 0\.99, but 0\.\d+ by ranks\.parquet beside it"),
    ],
)
def test_figures_that_ranks_contradict_are_left_out(test: dict[str, float], says: str, few: Path) -> None:
    folder = divide(runs_of(few)["lora-example1"], test=test)
    frame, unreadable = beside_runs(compare_folder(few, CostChoices()).strategies)
    assert "number=1" not in set(frame.get("groups", ()))
    with pytest.raises(RecordError, match=says):
        raise RecordError(unreadable[0])
    assert read_result(folder).test == test


def test_figures_that_cannot_be_read_are_one_message(few: Path) -> None:
    run = runs_of(few)["lora-example1"].folder
    (run / "groups" / "1-made-up" / RESULT_FILE).mkdir(parents=True)
    with pytest.raises(RecordError, match=r"groups\.json: cannot be read \(Is a directory\); remove .*1-made-up"):
        find_results(run)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run_id": "lora-example9"}, "not of lora-example1"),
        ({"test": {"hr@10": 0.99, "ndcg@10": 0.5}}, r"test\.hr@10 is 0\.99"),
        (None, "no result of this version"),
    ],
)
def test_one_bad_division_leaves_the_others_of_its_run(changes: dict[str, Any] | None, says: str, few: Path) -> None:
    """In a report, beside the division that was just made, and where another is asked for by its number."""
    run = runs_of(few)["lora-example1"]
    good = divide(run, name="1-good")
    bad = divide(run, name="0-bad", question_hash="other", **(changes or {}))
    if changes is None:
        (bad / RESULT_FILE).write_text("{}")
    frame, unreadable = beside_runs(compare_folder(few, CostChoices()).strategies)
    assert frame["groups"].tolist() == ["the run", "number=1"]
    (line,) = unreadable
    with pytest.raises(RecordError, match=says):
        raise RecordError(line)
    assert str(bad) in line
    text = to_markdown(run.folder, good)
    assert [row.split(" | ")[0] for row in text.splitlines()[2:4]] == ["| the run", "| number=1"]
    assert text.count("- left out: ") == 1
    with pytest.raises(RecordError, match=says):
        to_markdown(run.folder, bad)
    if changes is None or "test" not in changes:
        assert named_division(run.folder, "1") == good


def test_a_report_says_nothing_of_divisions_that_are_gone(few: Path) -> None:
    run = runs_of(few)["lora-example1"]
    folder, file = divide(run), few / "report" / "groups.md"
    write_report(few)
    assert "number=1" in file.read_text()
    (folder / RESULT_FILE).write_text("{}")
    write_report(few)
    assert file.read_text().startswith("Groups of users (`peftrec groups`).\n\n- left out: ")
    shutil.rmtree(folder)
    write_report(few)
    assert not file.exists()
    file.write_text("# The user's own\n")
    write_report(few)
    assert file.read_text() == "# The user's own\n"
