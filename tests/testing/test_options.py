"""How the contract tests are asked for: by kind, name and folder; a mistake is one line."""

import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from peftrec.code.user_code import config_folders, open_door
from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.testing.parts import KINDS, Chosen, choose, compose, kind_of, one_of_each_class

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = str(REPOSITORY / "examples" / "own_strategy")
NOTHING: dict[str, list[str]] = {kind: [] for kind in KINDS}


@pytest.fixture(autouse=True)
def _close_door() -> Iterator[None]:
    yield
    open_door()


def chosen(*config: str, overrides: tuple[str, ...] = (), **named: list[str]) -> Chosen:
    return choose(NOTHING | named, code=[], config=config, overrides=overrides)


def refusal(*config: str, overrides: tuple[str, ...] = (), **named: list[str]) -> str:
    with pytest.raises(SettingsError) as refused:
        chosen(*config, overrides=overrides, **named)
    return str(refused.value)


def test_without_options_every_part_of_the_package_is_tested() -> None:
    names = chosen().names
    assert set(names["strategy"]) == {file.stem for file in (config_directory() / "strategy").glob("*.yaml")}
    assert len(names["strategy"]) >= 5
    assert len(names["user_encoder"]) >= 2
    assert names["objective"]
    assert names["data"] == ("synthetic",)  # the others need files


def test_a_single_tower_meets_each_class_once() -> None:
    few = set(one_of_each_class("strategy", chosen().names["strategy"]))
    assert {"full", "lora", "iisan", "iisan_cached"} <= few
    assert not {"iisan_phm_cached"} & few
    assert len({"adalora", "dora", "peft", "vera"} & few) == 1


def test_a_name_chooses_one_kind() -> None:
    found = chosen(strategy=["lora", "lora"])
    assert found.names == NOTHING | {"strategy": ("lora",), "user_encoder": (), "objective": (), "data": ()}
    assert found.are_users


def test_a_folder_without_names_is_tested_whole() -> None:
    assert chosen(EXAMPLE).names["strategy"] == ("output_adapter", "output_adapter_cached")
    assert config_folders() == (Path(EXAMPLE),)


def test_a_key_of_another_kind_is_left_to_it() -> None:
    overrides = ("strategy.rank=3", "data.num_users=40", "seed=5")
    settings = compose("data", "synthetic", overrides)
    assert (settings.seed, settings.data.num_users) == (5, 40)  # type: ignore[attr-defined]
    assert compose("strategy", "lora", overrides).strategy.rank == 3  # type: ignore[attr-defined]


def test_mistakes_name_a_remedy(tmp_path: Path) -> None:
    assert "did you mean output_adapter?" in refusal(EXAMPLE, strategy=["output_adaptor"])
    assert "did you mean strategy.rank?" in refusal(strategy=["lora"], overrides=("strategy.rnak=2",))
    assert "no such folder" in refusal(str(tmp_path / "nowhere"))
    assert f"{tmp_path}/strategy/mine.yaml" in refusal(str(tmp_path))


def test_code_that_python_cannot_read_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "broken.yaml").write_text("_target_: broken.Broken\n")
    (tmp_path / "broken.py").write_text('"""Not closed."""\n\nclass Broken(\n')
    assert f"{tmp_path}/broken.py:3: " in refusal(str(tmp_path))


def test_a_mistake_is_one_line_of_pytest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where no options of this repository hold
    words = ["--pyargs", "peftrec.testing", "--strategy", "lorra"]
    status = pytest.main(["-p", "no:cacheprovider", "-p", "peftrec.testing.entry_point", *words])
    said = capfd.readouterr()
    assert status == pytest.ExitCode.USAGE_ERROR
    assert said.err.startswith("ERROR: strategy=lorra: no such option; did you mean lora?")
    assert "Traceback" not in said.err


def test_another_command_has_no_options_of_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Their names are common ones, and whoever has peftrec installed may have such options too."""
    status = pytest.main(["-p", "peftrec.testing.entry_point", str(tmp_path), "--strategy=lora"])
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --strategy" in capfd.readouterr().err


def test_every_kind_has_its_laws_in_a_file() -> None:
    folder = Path(import_module("peftrec.testing").__path__[0])
    assert {kind_of(file) for file in folder.glob("test_*.py")} == set(KINDS)


def test_pytest_is_announced_and_no_requirement_of_a_run() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert not [each for each in project["dependencies"] if each.startswith("pytest")]
    assert [each for each in project["optional-dependencies"]["testing"] if each.startswith("pytest")]
    for name, module in project["entry-points"]["pytest11"].items():
        assert name == module  # so that `-p` of that name is the same plugin
        assert hasattr(import_module(module), "pytest_load_initial_conftests")
