"""What a verb does not take is answered with what to write."""

from pathlib import Path

import pytest

from peftrec.cli import main as cli


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--strategy", "lora"], "unknown flag --strategy; write strategy=lora"),
        (["train", "--strategy=lora"], "unknown flag --strategy=lora; write strategy=lora"),
        (["train", "--epochs", "10"], "unknown flag --epochs; write trainer.max_epochs=10"),
        (["train", "--batch-size", "8"], "unknown flag --batch-size; write batch_size=8"),
        (["train", "--seed", "seed=2"], "unknown flag --seed; write seed=VALUE"),
        (["train", "--trainer.max_epochs", "2"], "unknown flag --trainer.max_epochs; write trainer.max_epochs=2"),
        (["train", "--mutlirun"], "unknown flag --mutlirun; did you mean --multirun?"),
        (["train", "strategy", "lora"], "strategy lora: write strategy=lora"),
        (["train", "lora"], "lora: write strategy=lora"),
        (["train", "LoRA"], "LoRA: write strategy=lora"),
        (
            ["train", "measure=always"],
            "measure=always: one run has nothing beside it; give it to a sweep (-m), or use peftrec measure",
        ),
        (["serve", "runs/a b/lora"], "runs/a b/lora: write 'run=runs/a b/lora'"),
        *(([verb, "runs/lora"], "runs/lora: write run=runs/lora") for verb in ("evaluate", "recommend", "export")),
        (["train", "mesure=never"], "mesure=never: did you mean measure=never?"),
        (["tune", "budget.trial=4"], "budget.trial=4: did you mean budget.trials=4?"),
        (["tune", "prunr=none", "strategy=id"], "prunr=none: did you mean pruner=none?"),
        (["train", "epochs", "3"], "epochs 3: write trainer.max_epochs=3"),
        (["train", "seed=1", "quite", "else"], "quite: write KEY=VALUE (see peftrec train --help)"),
        (["plan", "--memory", "24GiB"], "unknown flag --memory; write memory=24GiB"),
        (["evaluate", "--run", "runs/x"], "unknown flag --run; write run=runs/x"),
        (["tune", "--budget.trials", "4"], "unknown flag --budget.trials; write budget.trials=4"),
        (["coldstart", "--model", "heater"], "unknown flag --model; write model=heater"),
        (["coldstart", "model", "heater"], "model heater: write model=heater"),
        (
            ["train", "lr=0.1", "--cfg"],
            " ".join(
                [
                    "unknown key lr; write",
                    *(f"learning_rates.{name}=0.1" for name in ("text", "image", "introduced", "recommender")),
                ]
            ),
        ),
        (["train", "model=lora"], "unknown key model; write strategy=lora"),
        (["train", "dataset=movielens"], "unknown key dataset; write data=movielens"),
        (["train", "gpus=2"], "unknown key gpus; write trainer.accelerator=gpu trainer.devices=2"),
        (["train", "device=cpu"], "unknown key device; write trainer.accelerator=cpu"),
        (["train", "output=out"], "unknown key output; write runs_dir=out"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_words_that_name_things_are_left_to_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", "main", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("peftrec train")


@pytest.mark.parametrize("verb", ["clean", "measure"])
def test_an_empty_word_is_no_folder(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell makes it of a variable that is not set; taken as a path it is the working folder, which clean empties."""
    monkeypatch.chdir(tmp_path)
    assert cli.main([verb, ""]) == 2
    assert "expected one RUNS_DIR, got an empty word" in capsys.readouterr().err
