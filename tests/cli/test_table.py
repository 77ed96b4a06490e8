"""`peftrec table`: the list, what a table would run, and that its steps run one after the other."""

from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.paper_tables.declared import find_table, read_tables
from peftrec.paper_tables.state import read_took


def test_the_list_says_what_each_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", "scale=paper", f"runs_dir={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    for name, table in read_tables("paper").items():
        assert f"table-{name}: {table.title}" in shown
        assert table.why_not is None or f"not at SCALE=paper: {table.why_not}" in shown
    assert "data.root=DIR" in shown
    assert "0 of 6 runs done; not built yet" in shown


def test_dry_run_prints_commands_and_runs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "table",
        "multi-interest",
        "scale=real",
        "root=my data",
        "towers=tiny",
        f"runs_dir={tmp_path}",
        "--dry-run",
    ]
    assert cli.main(words) == 0
    train, retrieval = capsys.readouterr().out.splitlines()
    assert train.startswith("peftrec train -m experiment=movielens_profiles name=table_multi_interest_real")
    assert "'data.root=my data'" in train
    assert train.endswith(f"towers=tiny runs_dir={tmp_path}")
    assert retrieval == "peftrec retrieval 'run={run:iisan_cached}' num_draws=3"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["main", "scale=real"], "table main, scale=real: say where the data lie: root=DIR"),
        (["main", "norms"], "main norms: one table at a time"),
        (["series", "scale=paper", "root="], "root=: give root a value"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_job_that_fails_is_a_result_and_later_steps_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []
    table = find_table("efficiency", "tiny")

    def run(verb: str, words: list[str]) -> int:
        ran.append([verb, *words])
        folder = tmp_path / table.runs_name
        folder.mkdir(exist_ok=True)
        (folder / "record.json").touch()
        return 1 if "batch_size=32" in words else 0

    monkeypatch.setattr(cli, "run", run)
    from peftrec.cli import table as verb

    assert verb.main(["efficiency", f"runs_dir={tmp_path}"]) == 1
    assert [step[0] for step in ran] == ["train", "train", "train", "report", "report"]
    assert ran[3][1] == f"{tmp_path}/table_efficiency_tiny"
    took = read_took(table, tmp_path)
    assert took is not None
    assert (took.status, took.steps) == (1, ran)


@pytest.mark.slow
def test_a_table_is_built_and_found_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["trainer.max_epochs=2", "data.num_users=60", "data.num_items=100", "seed=1", f"runs_dir={tmp_path}"]
    assert cli.main(["table", "multi-interest", *small]) == 0
    assert "pinnersage" in capsys.readouterr().out
    table = find_table("multi-interest", "tiny")
    first = read_took(table, tmp_path)
    assert cli.main(["table", "multi-interest", *small]) == 0
    assert read_took(table, tmp_path) == first
