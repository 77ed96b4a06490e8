"""A finished run's places: those that a command names, relative ones beside the run, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from peftrec.errors import SettingsError
from peftrec.settings.places import base_of, bases_of, is_place_word, placed

ROLES = {
    "name": "place",
    "runs_dir": "place",
    "data.root": "place",
    "hidden_states.directory": "place",
    "towers.text.checkpoint": "place",
    "trainer.devices": "cost",
}


def config(**changes: Any) -> dict[str, Any]:
    return {
        "name": "default",
        "runs_dir": "runs",
        "data": {"root": "data/mine", "sequence_length": 10},
        "towers": {"text": {"checkpoint": "google/bert"}, "image": None},
        "hidden_states": {"directory": "runs/hidden_states"},
        **changes,
    }


def run_below(folder: Path, name: str = "runs/default/id-0123") -> Path:
    run = folder / name
    run.mkdir(parents=True)
    return run


def test_relative_places_lie_beside_the_run_wherever_the_command_is_given(tmp_path: Path) -> None:
    run = run_below(tmp_path)
    (tmp_path / "data/mine").mkdir(parents=True)
    found = placed(config(), ROLES, bases_of(run, config(), None), [])
    assert found["data"]["root"] == str(tmp_path / "data/mine")
    assert found["hidden_states"]["directory"] == str(tmp_path / "runs/hidden_states")
    assert found["towers"]["text"]["checkpoint"] == "google/bert", "a name on the hub"
    (tmp_path / "google/bert").mkdir(parents=True)
    assert placed(config(), ROLES, bases_of(run, config(), None), [])["towers"]["text"]["checkpoint"] == str(
        tmp_path / "google/bert"
    )


def test_what_a_command_says_holds(tmp_path: Path) -> None:
    run = run_below(tmp_path)
    given = config()
    found = placed(
        given, ROLES, bases_of(run, config(), None), ["data.root=/elsewhere", "hidden_states.directory=here"]
    )
    assert (found["data"]["root"], found["hidden_states"]["directory"]) == ("/elsewhere", "here")
    assert found["data"]["sequence_length"] == 10
    assert given == config(), "the record stays as it is"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.sequence_length=5", "only places can change; the places of this run are data.root, hidden"),
        ("data.rot=/x", "did you mean data.root?"),
        ("towers.text.checkpoint=[", "cannot be read"),
    ],
)
def test_only_places_can_change(word: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        placed(config(), ROLES, [run_below(tmp_path)], [word])
    assert message in str(caught.value)


@pytest.mark.parametrize("runs_dir", ["/runs", "../runs", "other"])
def test_a_run_that_does_not_lie_where_it_was_has_no_base(runs_dir: str, tmp_path: Path) -> None:
    run = run_below(tmp_path)
    assert base_of(run, config()) == tmp_path.resolve()
    assert base_of(run, config(runs_dir=runs_dir)) is None
    assert bases_of(run, config(runs_dir=runs_dir), None) == []
    assert placed(config(runs_dir=runs_dir), ROLES, [], [])["data"]["root"] == "data/mine"


def test_an_absolute_runs_dir_leaves_places_where_the_run_was_started(tmp_path: Path) -> None:
    run, started_in = run_below(tmp_path, "elsewhere/default/id-0123"), tmp_path / "project"
    (started_in / "data/mine").mkdir(parents=True)
    given = config(runs_dir=str(tmp_path / "elsewhere"))
    found = placed(given, ROLES, bases_of(run, given, str(started_in)), [])
    assert found["data"]["root"] == str(started_in / "data/mine")
    assert found["hidden_states"]["directory"] == str(started_in / "runs/hidden_states")


def test_what_moved_with_the_run_comes_before_where_it_was_started(tmp_path: Path) -> None:
    run, started_in = run_below(tmp_path), tmp_path / "project"
    for folder in (tmp_path, started_in):
        (folder / "data/mine").mkdir(parents=True)
    found = placed(config(), ROLES, bases_of(run, config(), str(started_in)), [])
    assert found["data"]["root"] == str(tmp_path / "data/mine")


def test_words_of_places() -> None:
    assert is_place_word("data.root=/x")
    assert not is_place_word("run=data.root")
    assert not is_place_word("data.root")
