"""`peftrec plan`: words in, tables or JSON out, mistakes as one line."""

import json
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.jobs.sweep import expand_sweep

pytestmark = pytest.mark.integration

NUMBERS = ["users=500", "items=300", "interactions=4000"]


def test_one_run_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "strategy=iisan_cached", "trainer=cpu", "memory=100MiB", "rate=0.01", *NUMBERS]) == 0
    shown = capsys.readouterr()
    for expected in ("Parameters", "Memory", "Work", "Hidden-state store", "largest batch in", "seconds an epoch"):
        assert expected in shown.out
    assert "TPME" not in shown.out
    assert "numbers: 500 users" in shown.out
    assert not shown.err


@pytest.mark.slow
def test_the_first_line_decides(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "-m", "strategy=full,frozen_cached", "trainer=cpu", "memory=60MiB", "--json", *NUMBERS]
    assert cli.main(arguments) == 0
    content = json.loads(capsys.readouterr().out)
    full, frozen = content["plans"]
    assert full["peak_bytes"] > 60 * 2**20 > frozen["peak_bytes"], "or the case says nothing"
    without, checkpointed = full["largest_batch"]["batch_size"], full["checkpointed_batch"]["batch_size"]
    assert 2 <= without < 64
    assert without < checkpointed
    assert frozen["checkpointed_batch"] is None
    does = "yes" if checkpointed >= 64 else "no"
    most = frozen["largest_batch"]["batch_size"]
    assert content["answer"] == (
        f"at batch 64 in 60 MiB: full no ({without}), frozen_cached yes ({most}); "
        f"with trainer.gradient_checkpointing=true: full {does} ({checkpointed})"
    )
    assert cli.main([word for word in arguments if word != "--json"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == content["answer"]


def test_without_an_amount_of_memory_the_first_line_says_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "strategy=frozen_cached", "trainer=cpu", "--json", *NUMBERS]) == 0
    content = json.loads(capsys.readouterr().out)
    mebibytes = content["plans"][0]["peak_bytes"] / 2**20
    start = f"at batch 64: frozen_cached needs {mebibytes:,.1f} MiB; memory=24GiB"
    assert content["answer"].startswith(start)


def test_a_set_prints_its_tpme_and_json_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "-m", "strategy=full,frozen", "trainer=cpu", "towers.image=null", *NUMBERS]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert cli.main([*arguments, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    full, frozen = content["plans"]
    assert (full["run"], full["tpme"]) == ("full", 1.0)
    assert (frozen["run"], frozen["tpme"]) == ("frozen", 0.0)
    assert f"{full['trainable_parameters']:,}" in text
    assert f"{full['memory_bytes'] / 2**20:,.1f} MiB" in text
    assert full["memory_bytes"] == full["peak_bytes"] > sum(full["exact_bytes"].values())
    assert all(note in text for note in content["notes"])
    assert "its t is operations an epoch, not seconds" in text


@pytest.mark.parametrize(
    ("strategy", "parameters"),
    [("iisan_cached", 4_113_877), pytest.param("adapter", 4_965_440, marks=pytest.mark.slow)],
)
def test_the_papers_parameters(strategy: str, parameters: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Trainable parameters at base size, counted in the published code."""
    small = ["users=20", "items=100", "interactions=140", "batch_size=2"]
    assert cli.main(["plan", "--json", "towers=bert_vit_base_random", f"strategy={strategy}", *small]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["plans"]
    assert plan["trainable_parameters"] == parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory=24"], "error: memory=24: expected a number and a unit"),
        (["users=3"], "error: users: a data set in numbers needs all three"),
        (["memroy=24GiB"], "error: memroy=24GiB: did you mean memory=24GiB?"),
        (["batchsize=8"], "error: unknown key batchsize"),
        (["strategy=lroa"], "did you mean lora?"),
        (["strategy=lora,full"], "several values make a sweep: add -m"),
        (["--yaml"], "unknown flag --yaml; see peftrec plan --help"),
        (["-m", "strategy=lora", "batch_size=64,1"], "job batch_size=1: batch_size"),
        (
            ["towers=bert_vit_base", "towers.text.checkpoint=nowhere", *NUMBERS],
            "or plan a shape: towers=bert_vit",
        ),
        (["data=iisan", "data.root=nowhere"], "or plan from numbers: users=N"),
        (["trainer=ddp", *NUMBERS], "a plan is for one device"),
        (["strategy=lora", "strategy.sites=[nowhere]", *NUMBERS], "strategy.sites: 'nowhere' matches nothing"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *arguments]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", "-m", "strategy=id,frozen_cached", *NUMBERS]) == 0
    assert not list(tmp_path.iterdir())


def test_help_says_what_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--help"]) == 0
    assert "memory=24GiB" in capsys.readouterr().out


def test_a_set_is_expanded_as_a_sweep_is() -> None:
    settings = expand_sweep(["strategy=id,lora", "seed=1,2", "name=mine"])
    assert list(settings) == ["id seed=1", "id seed=2", "lora seed=1", "lora seed=2"]
    assert [each.seed for each in settings.values()] == [1, 2, 1, 2]
    assert {each.name for each in settings.values()} == {"mine"}
