"""A run's name knows the code: what changed code finds, and what it computes anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changed_code import Change, change_code
from peftrec.code import fingerprint, user_code
from peftrec.results.code_notes import code_notes
from peftrec.results.record import Record, read_record
from peftrec.results.runs import find_runs
from peftrec.results.superseded import without_superseded
from peftrec.training.module import RecommenderModule
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

pytestmark = pytest.mark.integration

__all__ = ["change_code"]  # a fixture

ADDITION = (b"\n\n\n", b"\n\n\nOTHER = 1\n\n\n")
LOSS = ("peftrec.models.objectives.debiased_cross_entropy", b"cross_entropy(", b"cross_entropy(1.5 * ")
DOCSTRING = (LOSS[0], b'"""\n\nimport', b'Said in another way."""\n\n# A comment.\nimport')
TOWER = ("peftrec.models.towers.tower", *ADDITION)
SHORT: dict[str, Any] = {"trainer": {"max_epochs": 1}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run that reads a store."""
    folder = tmp_path_factory.mktemp("finished")
    train_run(small_settings(folder, "iisan_cached", **SHORT))
    return folder


@pytest.fixture
def runs_dir(finished: Path, tmp_path: Path) -> Path:
    """A copy of it at a place of its own; places are no part of a run's name."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def train(runs_dir: Path, strategy: str = "iisan_cached", /, **changes: Any) -> tuple[Path, Record]:
    directory = train_run(small_settings(runs_dir, strategy, **{**SHORT, **changes})).run_directory
    return directory, read_record(directory)


def the_run(runs_dir: Path) -> Path:
    (run,) = find_runs(runs_dir)
    return run.folder


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def manifests(runs_dir: Path) -> list[Path]:
    return sorted((runs_dir / "hidden_states").glob("*/manifest.json"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that were taken; taking them is what a run that is found does not do."""
    taken: list[int] = []
    original = RecommenderModule.training_step

    def counted(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        taken.append(self.global_step)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RecommenderModule, "training_step", counted)
    return taken


def test_a_changed_loss_trains_anew_and_says_why(
    runs_dir: Path, change_code: Change, steps: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    former, stores = the_run(runs_dir), times(runs_dir / "hidden_states")
    before = times(former)
    change_code(*LOSS)
    directory, record = train(runs_dir)
    said = capsys.readouterr().err
    assert directory != former
    assert len(steps) == 4
    assert (
        f"{former}: finished under other code ({LOSS[0]}), so this run trains anew as {directory.name}; to take its "
        "figures all the same, say reuse=despite_code\n"
    ) in said
    assert times(former) == before, "what other code computed stays as it is"
    assert times(runs_dir / "hidden_states").keys() == stores.keys(), "the loss computes no hidden state"
    assert record.question_hash == read_record(former).question_hash
    counting, superseded = without_superseded(find_runs(runs_dir))
    assert ([run.folder for run in counting], [run.folder for run in superseded]) == ([directory], [former])
    steps.clear()
    assert train(runs_dir)[0] == directory
    assert not steps


def test_who_knows_better_takes_the_figures_of_other_code_and_the_record_says_so(
    runs_dir: Path, change_code: Change, steps: list[int]
) -> None:
    former = the_run(runs_dir)
    change_code(*LOSS)
    directory, record = train(runs_dir, reuse="despite_code")
    assert directory == former
    assert not steps
    assert record.latest.reuse == "despite_code"
    (note,) = code_notes({"iisan_cached": find_runs(runs_dir)})
    assert note == "iisan_cached: not all of it by one code, by reuse=despite_code."


def test_what_was_killed_does_not_go_on_under_other_code(
    tmp_path: Path, change_code: Change, steps: list[int], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    original = RecommenderModule.training_step

    def crash_in_third_epoch(self: RecommenderModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 10:  # four steps an epoch
            raise MemoryError("for the test")
        return original(self, batch, batch_idx)

    changes = {"trainer": {"max_epochs": 4}}
    with monkeypatch.context() as patched:
        patched.setattr(RecommenderModule, "training_step", crash_in_third_epoch)
        with pytest.raises(MemoryError):
            train(tmp_path, "id", **changes)
    crashed = the_run(tmp_path)
    module = "peftrec.models.user_encoders.sasrec"
    change_code(module, b"dropout", b"drop_out")
    steps.clear()
    directory, record = train(tmp_path, "id", **changes)
    said = capsys.readouterr().err
    assert steps == list(range(16)), "from the first step on"
    assert (len(record.stretches), record.latest.first_epoch) == (1, 0)
    assert f"{crashed}: stopped after 2 epochs under other code ({module}), so this run trains anew as " in said
    assert "to go on with it all the same, say reuse=despite_code" in said
    shutil.rmtree(directory)
    steps.clear()
    directory, record = train(tmp_path, "id", reuse="despite_code", **changes)
    assert directory == crashed
    assert steps == list(range(8, 16))
    assert [(one.first_epoch, one.reuse) for one in record.stretches] == [(0, "same_code"), (2, "despite_code")]
    first, second = (one.modules for one in record.stretches)
    assert {name for name in first if first[name] != second[name]} == {module}
    assert code_notes({"id": find_runs(tmp_path)}) == ["id: not all of it by one code, by reuse=despite_code."]


@pytest.mark.parametrize(
    "change",
    [
        DOCSTRING,
        ("peftrec.results.report.page", *ADDITION),
        ("peftrec.results.tables", *ADDITION),
        ("peftrec.cli.train", *ADDITION),
        ("peftrec.strategies.lora", *ADDITION),
        ("peftrec.models.peft.injection", *ADDITION),
    ],
    ids=lambda change: change[0],
)
def test_what_decides_no_figure_leaves_run_and_store_valid(
    change: tuple[str, bytes, bytes], runs_dir: Path, change_code: Change, steps: list[int]
) -> None:
    before = times(runs_dir)
    change_code(*change)
    directory, _ = train(runs_dir)
    assert not steps
    assert {path: time for path, time in times(runs_dir).items() if path.is_relative_to(directory)} == {
        path: time for path, time in before.items() if path.is_relative_to(directory)
    }
    assert len(manifests(runs_dir)) == 1


def test_changed_towers_build_another_store_and_say_why(
    runs_dir: Path, change_code: Change, steps: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    (former,) = manifests(runs_dir)
    change_code(*TOWER)
    train(runs_dir, trainer={"max_epochs": 2})
    said = capsys.readouterr().err
    assert (
        f"{former.parent}: a store of these states, computed by other code ({TOWER[0]}), so they are computed anew; to "
        "take it all the same, say reuse=despite_code\n"
    ) in said
    assert len(manifests(runs_dir)) == 2


@pytest.mark.parametrize("package", ["transformers", "tokenizers"])
def test_other_versions_of_libraries_are_not_reused(
    package: str, runs_dir: Path, steps: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    former = the_run(runs_dir)
    versions = fingerprint.public_version
    monkeypatch.setattr(fingerprint, "public_version", lambda name: "99.1" if name == package else versions(name))
    directory, record = train(runs_dir)
    said = capsys.readouterr().err
    assert directory != former
    assert len(steps) == 4
    assert record.latest.packages[package] == "99.1"
    assert f"finished under other code ({package} {versions(package)} -> 99.1), so this run trains anew" in said
    assert len(manifests(runs_dir)) == 2
    (note,) = code_notes({run.folder.name: [run] for run in find_runs(runs_dir)})
    assert note.startswith(f"Rows were trained with different versions: {package}")


def test_the_name_of_a_build_is_no_version() -> None:
    assert "+" not in fingerprint.public_version("torch")


OWN = """
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.frozen import Frozen


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mine(Frozen):
    factor: float = 1.0
"""


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "mine_of_test.py").write_text(OWN)
    (folder / "beside_of_test.py").write_text("LIMIT = 1\n")
    yield folder
    user_code.open_door()


def test_a_strategy_of_the_users_own_that_changed_trains_anew(
    own_folder: Path, tmp_path: Path, steps: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    def train_own() -> tuple[Path, Record]:
        user_code.open_door(code=[str(own_folder)])  # as each command does
        return train(tmp_path / "runs", "id", strategy={"_target_": "mine_of_test.Mine"})

    first, record = train_own()
    assert "mine_of_test" in record.latest.modules
    steps.clear()
    (own_folder / "beside_of_test.py").write_text("LIMIT = 2\n")
    (own_folder / "mine_of_test.py").write_text(f"# a comment\n{OWN}")
    assert train_own()[0] == first
    assert not steps
    (own_folder / "mine_of_test.py").write_text(f"import beside_of_test\n{OWN}")
    second, record = train_own()
    assert "finished under other code (beside_of_test, mine_of_test)" in capsys.readouterr().err
    (own_folder / "beside_of_test.py").write_text("LIMIT = 3\n")
    third, _ = train_own()
    assert f"{second}: finished under other code (beside_of_test)" in capsys.readouterr().err
    assert len({first, second, third}) == 3
    assert len(steps) == 8
