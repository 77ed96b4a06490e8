"""`peftrec coldstart`: jobs, what is skipped, the table, and mistakes as one line."""

import json
from pathlib import Path

import pytest
import yaml

from peftrec.cli import main as cli
from peftrec.code import fingerprint
from peftrec.cold_start.experiment import ColdStartSettings, Job
from peftrec.cold_start.fitting import HeaterMethod, HeaterModule
from peftrec.cold_start.result import read_result
from peftrec.config.composition import compose_part, compose_parts
from peftrec.config.folder import config_directory
from peftrec.config.instantiate import build_part, describe_part
from small_pairs import write_split

CONF = config_directory() / "cold_start"
OPTIONS = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("pairs", "model")}
SMALL = ["training.epochs=3", "training.batch_size=64", "factors.rank=8", "factors.epochs=5"]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Words that put a planted split in the place of the published one."""
    write_split(tmp_path / "split", cold_side="users")
    content = "pairs.content.file=content.npz"
    return ["pairs=lastfm", f"pairs.root={tmp_path / 'split'}", content, f"runs_dir={tmp_path / 'runs'}", *SMALL]


def coldstart(*words: str) -> int:
    return cli.main(["coldstart", *words])


@pytest.mark.parametrize(("group", "option"), [(group, name) for group, names in OPTIONS.items() for name in names])
def test_every_option_composes_and_round_trips(group: str, option: str) -> None:
    settings = compose_part(ColdStartSettings, ["pairs.root=somewhere", f"{group}={option}"], folder="cold_start")
    assert getattr(settings, group).name == option
    assert build_part(ColdStartSettings, describe_part(settings, ColdStartSettings)) == settings


def test_the_ablations_are_heater_without_its_parts() -> None:
    words = ["pairs.root=somewhere", f"model={','.join(OPTIONS['model'])}"]
    models = {one.model.name: one.model for one in compose_parts(ColdStartSettings, words, folder="cold_start")}
    kept = {name: model for name, model in models.items() if isinstance(model, HeaterMethod)}
    parts = {name: (model.num_experts > 1, model.similarity_weight > 0) for name, model in kept.items()}
    assert parts == {
        "heater": (True, True),
        "heater_without_experts": (False, True),
        "heater_without_constraint": (True, False),
        "heater_without_both": (False, False),
    }
    assert {model.replaced for model in kept.values()} == {0.5}


def test_published_rates() -> None:
    """The published code's, which do not depend on the model."""
    for name, rates in (("citeulike", (0.8, 10, 1e-4)), ("lastfm", (0.9, 2, 1e-3))):
        training = compose_part(
            ColdStartSettings, [f"pairs={name}", "pairs.root=somewhere"], folder="cold_start"
        ).training
        assert (training.decay, training.decay_epochs, training.regularisation) == rates
        assert (training.epochs, training.learning_rate, training.momentum) == (100, 0.005, 0.9)
        assert (training.batch_size, training.negatives) == (1024, 5)


def test_jobs_leave_results_and_a_table(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = "model=heater_without_both,content_neighbours,popularity"
    assert coldstart("-m", *words, models, "seed=1,2") == 0
    first = capsys.readouterr()
    assert len(list((tmp_path / "runs" / "cold_start" / "lastfm").glob("*.json"))) == 6
    assert len(list((tmp_path / "runs" / "cold_start" / "lastfm" / "factors").iterdir())) == 2
    rows = [line.split("|")[1:3] for line in first.out.splitlines() if line.startswith("|")][2:]
    assert [(name.strip(), seeds.strip()) for name, seeds in rows] == [
        ("content_neighbours", "2"),
        ("heater_without_both", "2"),
        ("popularity", "2"),
    ]
    assert "90 users, 60 items" in first.out
    assert first.err.count("written: ") == 6
    monkeypatch.setattr("peftrec.cold_start.experiment.Job.run", None)
    assert coldstart("-m", *words, models, "seed=1,2") == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert again.err.count("finished before: ") == 6


def test_a_result_says_how_it_came_about(words: list[str], tmp_path: Path) -> None:
    assert coldstart(*words, "model=heater") == 0
    (path,) = (tmp_path / "runs" / "cold_start" / "lastfm").glob("heater-*.json")
    result = read_result(path)
    settings = build_part(ColdStartSettings, result.config)
    assert settings.training.epochs == len(result.epochs) == 3
    assert result.validation == result.epochs[result.chosen["epoch"]].validation
    features, rank = 12, 8
    assert result.num_parameters == 5 * (rank + 1) * (features + 1) + 2 * (2 * rank * (rank + 1) + 2 * rank)
    assert set(result.seconds) == {"factors", "fit", "test"}
    assert json.loads(path.read_text())["test"]["num_users"] == result.counts["test_users"]


def test_an_interrupted_job_leaves_nothing_and_says_so(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(module: HeaterModule, batch: object, batch_idx: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HeaterModule, "training_step", interrupt)
    assert coldstart(*words, "model=heater") == cli.INTERRUPTED
    assert capsys.readouterr().err.endswith("interrupted; the same command goes on from what is done\n")
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_what_decides_names_the_result(words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "cold_start" / "lastfm"
    assert coldstart(*words, "model=popularity") == 0
    moved = (tmp_path / "split").rename(tmp_path / "moved")
    elsewhere = [f"pairs.root={moved}" if word.startswith("pairs.root") else word for word in words]
    assert coldstart(*elsewhere, "model=popularity", "pairs.note=another", "accelerator=cpu") == 0
    assert len(list(folder.glob("*.json"))) == 1
    assert coldstart(*elsewhere, "model=popularity", "seed=5") == 0
    assert len(list(folder.glob("*.json"))) == 2


def test_a_result_of_other_code_is_not_taken(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "cold_start" / "lastfm"
    assert coldstart(*words, "model=popularity") == 0
    (first,) = folder.glob("*.json")
    monkeypatch.setattr(fingerprint, "public_version", lambda package: "0.1")
    capsys.readouterr()
    assert coldstart(*words, "model=popularity") == 0
    shown = capsys.readouterr()
    assert f"{first}: computed by other code (lightning " in shown.err
    assert "-> 0.1" in shown.err
    (second,) = set(folder.glob("*.json")) - {first}
    assert read_result(second).question_hash == read_result(first).question_hash
    assert "Left out, because later code answered the same: 1 results." in shown.out
    assert [line.split("|")[2].strip() for line in shown.out.splitlines() if "| popularity" in line] == ["1"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["model=heeter"], "model=heeter: no such option; did you mean heater?"),
        (["model.num_expert=3"], "unknown key model.num_expert; did you mean model.num_experts?"),
        (["model=heater,popularity"], "several values make a sweep: add -m"),
        (["training.epochs=many"], 'training.epochs: expected an integer, got "many"'),
        (["pairs.content.file=none.npz"], "none.npz: cannot be read (No such file or directory); set pairs.root"),
        (["--sweep"], "unknown flag --sweep; see peftrec coldstart --help"),
        (["training.learning_rate=1e30"], "a score is not finite; lower training.learning_rate"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coldstart(*words, *extra) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.strip().count("\n") == 0


def test_the_place_of_the_data_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart("pairs=citeulike") == 2
    assert "pairs.root is required: set pairs.root=" in capsys.readouterr().err


def test_a_spoilt_result_is_named(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart(*words, "model=popularity") == 0
    (path,) = (tmp_path / "runs" / "cold_start" / "lastfm").glob("*.json")
    path.write_text("{}")
    capsys.readouterr()
    assert coldstart(*words, "model=popularity") == 2
    shown = capsys.readouterr().err
    assert f"{path}: config: Field required; not a result of this version" in shown
    assert shown.count("\n") == 2  # and that the job is finished


def test_headers_say_what_the_splits_are() -> None:
    for name in OPTIONS["pairs"]:
        text = (CONF / "pairs" / f"{name}.yaml").read_text()
        assert text.startswith("# @package _global_\n")
        assert "# What:" in text
        assert yaml.safe_load(text)["pairs"]["name"] == name


def test_help_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart("--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for names in OPTIONS.values() for name in names)


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_trained(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Job, "run", lambda *_: pytest.fail("trained"))
    (tmp_path / "file").touch()
    assert coldstart(*words, "model=popularity", f"runs_dir={tmp_path / 'file'}") == 2
    folder = tmp_path / "file" / "cold_start" / "lastfm"
    assert capsys.readouterr().err == (
        f"error: {folder}: results cannot be written there (Not a directory); set runs_dir=DIR to a folder that can "
        "be, then give the same command again\n"
    )
