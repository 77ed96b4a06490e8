"""The Python API: the same runs, messages and tables as the verbs, imported when it is asked for."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import peftrec
from made_up_records import write_example_records
from peftrec import ComparedRuns, LoadedRun, RecordError, SettingsError, compare, compose, load_run, train
from peftrec.cli.main import main
from peftrec.code.user_code import open_door
from peftrec.results import tables
from peftrec.results.report.report import write_report

pytestmark = pytest.mark.integration

WORDS = (
    *("trainer=cpu", "trainer.max_epochs=2", "towers=tiny", "strategy=frozen", "embedding_dim=8", "name=api"),
    *("data=synthetic", "data.num_users=40", "data.num_items=100", "trainer.has_progress_bar=false"),
)
OWN_CODE = """
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.frozen import Frozen


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Own(Frozen):
    pass
"""


@pytest.fixture(autouse=True)
def _close_door() -> Iterator[None]:
    yield
    open_door()


@pytest.fixture(scope="module", autouse=True)
def _brief_measurements() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("peftrec.training.measurement.repeated.BUDGET_SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "runs"


@pytest.fixture(scope="module")
def trained(runs_dir: Path) -> LoadedRun:
    return train(compose([*WORDS, f"runs_dir={runs_dir}"]))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example_records(tmp_path_factory.mktemp("example"), seeds=2, num_users=40)


def test_importing_imports_nothing_and_composing_nothing_slow() -> None:
    program = """
import sys, json
before = {*sys.modules}
import peftrec
own = sorted(name for name in {*sys.modules} - before if name.startswith("peftrec"))
others = sorted({name.partition(".")[0] for name in {*sys.modules} - before} - {*sys.stdlib_module_names, "peftrec"})
from peftrec import compare, compose, train, load_run
compose(["strategy=lora", "strategy.rank=4"])
print(json.dumps([own, others, sorted({"torch", "transformers", "peft", "lightning", "wandb"} & {*sys.modules})]))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [["peftrec"], [], []]


def test_every_name_is_there_and_no_other() -> None:
    assert set(peftrec.__all__) <= set(dir(peftrec))
    assert all(getattr(peftrec, name).__doc__ for name in peftrec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = peftrec.trian
    assert sorted(name for names in peftrec._MODULES.values() for name in names) == peftrec.__all__


@pytest.mark.parametrize(
    "words",
    [
        ["strategy=lorra"],
        ["strategy=lora", "strategy.rnak=4"],
        ["trainer.max_epochs=many"],
        ["strategy=mine"],
    ],
)
def test_composing_says_what_the_command_line_says(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        compose(words)
    assert main(["train", *words]) == 2
    assert capsys.readouterr().err == f"error: {caught.value}\n"


def test_a_text_in_place_of_words_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"write \['strategy=lora'\]"):
        compose("strategy=lora")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: compose(None), r"overrides: expected a list of texts, found None: write \["),
        (lambda: compose([1]), r"overrides\[0\]: expected a text, found 1: write"),
        (lambda: compose(["strategy=lora,full"]), "strategy=lora,full: .* makes the settings of one: call it once for"),
        (lambda: compose(["-m", "strategy=lora"]), "-m: an option .*: call it once for each run"),
        (lambda: compose([], code=1), "code: expected a path, found 1"),
        (lambda: train(["strategy=lora"]), r"found list: write train\(compose\(\[\.\.\.\]\)\)"),
        (lambda: train(None), r"found NoneType: write train\(compose\("),
        (lambda: load_run(None), r'run: expected a path, found None: write load_run\("runs/first/lora"\)'),
        (lambda: load_run(["runs/a"]), r"run: expected a path, found a list"),
        (lambda: load_run("runs/a", "data.root=x"), r"overrides: .*, found one text: write \['data.root=x'\]"),
        (
            lambda: compare(None),
            r'runs: expected a folder or a list of runs, found None: write compare\("runs/first"\)',
        ),
        (lambda: compare([1]), "runs: expected a path, found 1"),
    ],
)
def test_arguments_of_a_wrong_type_are_one_message(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ask()


def test_words_may_come_from_anything_that_holds_texts() -> None:
    words = ["strategy=lora", "strategy.rank=4"]
    assert compose(pd.Series(words)) == compose(word for word in words) == compose(words)


def test_a_run_has_the_name_that_the_verb_gives_it_and_is_not_trained_twice(
    trained: LoadedRun, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *WORDS, f"runs_dir={runs_dir}"]) == 0
    assert f"finished already: {trained.directory}" in capsys.readouterr().err
    written = (trained.directory / "record.json").stat().st_mtime_ns
    again = train(compose([*WORDS, f"runs_dir={runs_dir}"]))
    assert again.directory == trained.directory
    assert (trained.directory / "record.json").stat().st_mtime_ns == written
    assert trained.record.epochs["epoch"].tolist() == [1, 2]


def test_a_run_whose_runs_were_moved_is_loaded(trained: LoadedRun, tmp_path: Path) -> None:
    moved = shutil.copytree(trained.directory, tmp_path / "elsewhere" / trained.directory.name)
    run = load_run(moved)
    assert run.recommend([run.users[0]], k=3).equals(trained.recommend([run.users[0]], k=3))
    with pytest.raises(SettingsError, match=r"seed=2: a finished run is asked as it was trained"):
        load_run(moved, ["seed=2"])
    (moved / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(peftrec.CheckpointError):
        load_run(moved)
    with pytest.raises(RecordError, match="no such record"):
        load_run(tmp_path)


def test_a_strategy_of_ones_own_takes_a_folder_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "parts/strategy").mkdir(parents=True)
    (tmp_path / "parts/own.py").write_text(OWN_CODE)
    (tmp_path / "parts/strategy/own.yaml").write_text("_target_: own.Own\n")
    words = [*(word for word in WORDS if word != "strategy=frozen"), "strategy=own", f"runs_dir={tmp_path / 'runs'}"]
    run = train(compose([*words, "trainer.max_epochs=1"], config_dir=tmp_path / "parts"))
    assert run.record.strategy == "own"
    assert load_run(run.directory).record.run_id == run.record.run_id, "the folder that was named last is open still"
    with pytest.raises(SettingsError, match="strategy=own: no such option"):
        compose(words)  # yaml files are those of the call
    open_door()
    with pytest.raises(RecordError, match=r"own\.Own is no class of peftrec"):
        load_run(run.directory)
    assert load_run(run.directory, code=tmp_path / "parts").record.strategy == "own"


def test_a_comparison_is_the_report(example: Path, tmp_path: Path) -> None:
    for name in ("lora", "iisan", "id"):
        shutil.copytree(example / f"{name}-example1", tmp_path / "runs" / f"{name}-example1")
    report = write_report(tmp_path / "runs")
    found = compare(tmp_path / "runs")
    pd.testing.assert_frame_equal(found.means, report.tested.means)
    pd.testing.assert_frame_equal(found.pairs, report.tested.pairs)
    assert str(found) == report.to_terminal()
    assert found.tpme().to_dict() == pytest.approx(dict(report.comparison.tpme))
    before = {file.name: file.read_bytes() for file in report.files}
    assert {file.name: file.read_bytes() for file in found.write()} == before
    assert tables.to_csv(found.table).encode() == before["table.csv"]
    assert found.figures["quality_vs_costs"].encode() == before["quality_vs_costs.svg"]
    assert found.table["strategy"].tolist()[0] in found._repr_markdown_()


def test_runs_may_be_named_one_by_one(example: Path, tmp_path: Path) -> None:
    folders = [example / "lora-example1", LoadedRun(directory=example / "iisan-example1")]
    found = compare(folders)
    assert found.table["strategy"].tolist()[:2] == ["iisan", "lora"]
    with pytest.raises(SettingsError, match="say which folder the report shall lie in"):
        found.write()
    assert (tmp_path / "report" / "index.html") in found.write(tmp_path / "report")
    assert compare(folders[0]).table["seeds"].tolist()[0] == 1
    assert compare(folders[1]).home is None
    assert compare(folders[1]).table["strategy"].tolist()[0] == "iisan"


def test_runs_are_compared_under_their_short_names(example: Path, tmp_path: Path) -> None:
    for name in ("lora", "iisan"):
        shutil.copytree(example / f"{name}-example1", tmp_path / f"{name}-0123456789ab")
    named = compare([tmp_path / "lora", str(tmp_path / "iisan")])
    assert named.table.equals(compare(tmp_path).table)
    assert compare(tmp_path / "lora").home == tmp_path / "lora-0123456789ab"


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda folder: compare(folder, margin=2.0), SettingsError, "margin=2.0: expected a difference"),
        (lambda folder: compare(folder, conditions="some"), SettingsError, "conditions=some: expected same or mixed"),
        (lambda folder: compare([]), SettingsError, "expected runs, found none"),
        (lambda folder: compare(folder / "nothing"), RecordError, "train first"),
        (lambda folder: compare(folder).tpme(time=1.0), RecordError, "they must sum to 1"),
        (lambda folder: compare(folder).tpme(among=["lora", "lorra"]), RecordError, "lorra: .* did you mean lora?"),
        (lambda folder: compare(folder).tpme(time="a"), SettingsError, "time='a': expected a number"),
        (lambda folder: compare(folder).tpme(among="lora"), SettingsError, r"among: .* write \['lora'\]"),
        (
            lambda folder: compare(folder).tpme(amortises_stores="no"),
            SettingsError,
            "amortises_stores='no': ",
        ),
        (lambda folder: compare(folder).write(3), SettingsError, "folder: expected a path, found 3"),
        (lambda folder: compare(folder).tpme(among=["lora"]), RecordError, "compares at least two strategies"),
    ],
)
def test_mistakes_name_what_is_wrong(
    ask: Callable[[Path], object], error: type[Exception], message: str, example: Path
) -> None:
    with pytest.raises(error, match=message):
        ask(example)


def test_tpme_is_weighed_anew(example: Path) -> None:
    found: ComparedRuns = compare(example)
    rows = found.table[found.table["status"] == "success"].set_index("strategy")
    seconds = rows["seconds_per_epoch"].astype(float)
    scaled = (seconds - seconds.min()) / (seconds.max() - seconds.min())
    by_time = found.tpme(time=1.0, parameters=0.0, memory=0.0)
    assert by_time.to_dict() == pytest.approx(scaled.to_dict())
    two = found.tpme(among=["lora", "iisan"])
    assert two.to_dict() == {"iisan": pytest.approx(0.1), "lora": pytest.approx(0.9)}
