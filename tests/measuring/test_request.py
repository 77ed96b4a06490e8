"""What `peftrec measure` is asked, and what is said of words that it does not take."""

from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.measuring.request import FEWEST_ROUNDS, MeasureRequest

ROUNDS = "expected a whole number from 5, as rounds=7"
SPREAD = "expected how far an interval's ends may be apart, a number from 0, as width=0.1"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("repeats=0", "repeats=0: unknown to peftrec measure; write rounds=7 (5 or more)"),
        ("round=3", "round=3: unknown to peftrec measure; did you mean rounds?"),
        (
            "zzz=3",
            "zzz=3: unknown to peftrec measure; its keys are rounds, width, again, seed: see peftrec measure --help",
        ),
        ("rounds=x", f"rounds=x: {ROUNDS}"),
        ("rounds=0", "rounds=0: an interval needs 5 rounds at least; set rounds=5"),
        ("width=x", f"width=x: {SPREAD}"),
        ("width=-1", f"width=-1: {SPREAD}"),
        ("seed=1.5", "seed=1.5: expected a whole number from 0, as seed=1"),
        ("seed=-1", "seed=-1: expected a whole number from 0, as seed=1"),
        ("again=x", "again=x: expected true or false"),
        ("elsewhere", "expected one RUNS_DIR, got runs elsewhere"),
    ],
)
def test_a_wrong_word_is_answered_with_the_key_and_what_it_takes(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["measure", "runs", word]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_what_the_messages_say_to_write_is_taken() -> None:
    own = {"rounds": "7", "width": "0.1", "seed": "1"}
    assert MeasureRequest.of(Path("runs"), own, again=False) == MeasureRequest(folder=Path("runs"))
    assert (
        MeasureRequest.of(Path("runs"), {"rounds": "5", "width": "0", "seed": "0"}, again=False).rounds == FEWEST_ROUNDS
    )


def test_a_folder_whose_name_looks_like_a_key_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lr=3").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["measure", "lr=3"]) == 2
    assert "unknown" not in capsys.readouterr().err
