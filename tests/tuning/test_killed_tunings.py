"""A tuning that is killed again and again ends with the trials, and the winner, of one that is not."""

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from servers import run_command, start_command

pytestmark = pytest.mark.integration

pytest.importorskip("optuna")

PROGRAM = "tuner_that_is_killed"


def finished(folder: Path, *words: str) -> dict[str, Any]:
    status, said = run_command([str(folder), *words], module=PROGRAM)
    assert status == 0, said
    found: dict[str, Any] = json.loads((folder / "ended.json").read_text())
    return found


def without_places(found: dict[str, Any]) -> dict[str, Any]:
    """Return what ended, without the folders, which differ."""
    return {
        name: [{key: value for key, value in each.items() if key != "run_directory"} for each in results]
        for name, results in found["results"].items()
    }


def kill_once(folder: Path, random_waits: random.Random, *words: str) -> bool:
    """Start the tuner, kill it some time after it has written anything; False where it had ended before."""
    journal = folder / "made-up" / "tuning" / "journal.log"
    before = journal.stat().st_size if journal.exists() else -1
    running = start_command([str(folder), *words], module=PROGRAM)
    process = running.process
    while process.poll() is None and (not journal.exists() or journal.stat().st_size <= before):
        time.sleep(0.001)
    time.sleep(random_waits.uniform(0, 0.15))
    running.signal(signal.SIGKILL)
    status = process.wait()
    running.close()
    return status == -signal.SIGKILL


@pytest.mark.parametrize(
    ("kills", "words"),
    [
        (2, ("1", "5", "halving", "random")),
        pytest.param(20, ("1", "15", "halving", "random"), marks=pytest.mark.slow),
        pytest.param(20, ("2", "15", "none", "random"), marks=pytest.mark.slow),
        pytest.param(10, ("1", "15", "none", "tpe"), marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(1800)
def test_the_same_trials_no_duplicate_the_same_winner(kills: int, words: tuple[str, ...], tmp_path: Path) -> None:
    trials = int(words[1])  # of each of two strategies
    whole = finished(tmp_path / "whole", *words)
    random_waits = random.Random(1)
    killed = sum(kill_once(tmp_path / "killed", random_waits, *words) for _ in range(kills))
    assert killed == kills, "it ended before it was killed so often: make the trials longer"
    resumed = finished(tmp_path / "killed", *words)
    assert without_places(resumed) == without_places(whole)
    for name, results in resumed["results"].items():
        assert [each["number"] for each in results] == list(range(trials))
        assert all(each["state"] in ("complete", "pruned") for each in results)
        assert resumed["best"][name]["changes"] == whole["best"][name]["changes"]
    folders = [each["run_directory"] for results in resumed["results"].values() for each in results]
    assert len(set(folders)) == len(folders) == 2 * trials
    again = 0
    for folder in folders:
        trained = [int(line) for line in Path(folder, "trained.txt").read_text().split()]
        assert sorted(set(trained)) == list(range(1, max(trained) + 1))
        again += len(trained) - max(trained)
    assert again <= kills * int(words[0]), "a kill costs an epoch of each trial that runs, and no more"


def test_another_space_or_budget_of_the_same_name(tmp_path: Path) -> None:
    """More trials go on; another sampler is another tuning."""
    few = finished(tmp_path, "1", "2", "none", "random")
    more = finished(tmp_path, "1", "3", "none", "random")
    for name, results in few["results"].items():
        assert more["results"][name][:2] == results
        assert len(more["results"][name]) == 3
    status, said = run_command([str(tmp_path), "1", "8", "none", "tpe"], module=PROGRAM)
    assert status != 0
    assert "the trials that are there were drawn for another sampler" in said
