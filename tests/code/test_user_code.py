"""The door for the user's own code: what may be imported, from where, and which text of it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.code import user_code
from peftrec.code.user_code import UserCode, hand_over, loaded, open_door, require, sources, take_over
from peftrec.errors import SettingsError
from peftrec.results.record import read_record, write_record
from peftrec.training.run.pipeline import train_run
from small_runs import small_settings

SAYS_SO = """
from pathlib import Path
Path("imported").touch()
from peftrec.strategies.frozen import Frozen as Mine
"""


@pytest.fixture(autouse=True)
def _close_door() -> Iterator[None]:
    open_door()
    yield
    open_door()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, who stands in it."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/door_of_test.py").write_text("VALUE = 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_class_of_others_is_imported_only_from_a_folder_that_was_named(here: Path) -> None:
    target = "door_of_test.Mine"
    remedy = r"add code=DIR, where DIR holds door_of_test\.py or door_of_test/"
    with pytest.raises(SettingsError, match=rf"strategy._target_: {target} is no class of peftrec.* {remedy}"):
        require(target, "strategy._target_")
    open_door(code=["parts"])
    require(target, "strategy._target_")
    require("peftrec.strategies.full.Full", "strategy._target_")
    assert "door_of_test" not in sys.modules, "asking imports nothing"
    import door_of_test  # type: ignore[import-not-found]

    assert door_of_test.VALUE == 1
    assert loaded() == {"door_of_test"}
    open_door()
    assert not loaded()
    with pytest.raises(ImportError):
        import door_of_test
    with pytest.raises(SettingsError):
        require(target, "strategy._target_")


@pytest.mark.parametrize("verb", ["evaluate", "recommend", "export"])
def test_a_record_that_names_a_class_beside_the_user_runs_nothing(
    verb: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "said_in_record.py").write_text(SAYS_SO)
    run = train_run(small_settings(here / "runs", "id", trainer={"max_epochs": 1})).run_directory
    record = read_record(run)
    config = {**record.config, "strategy": {"_target_": "said_in_record.Mine"}}
    write_record(record.model_copy(update={"config": config}), run)
    user = ["user=user00001"] if verb == "recommend" else []
    assert main([verb, f"run={run}", *user]) == 2
    said = capsys.readouterr().err
    assert f"{run / 'record.json'}: strategy._target_: said_in_record.Mine is no class of peftrec" in said
    assert "add code=DIR, where DIR holds said_in_record.py" in said
    assert "version" not in said, "another version of peftrec would not have it either"
    assert not (here / "imported").exists()


def test_a_name_that_is_taken_is_refused_and_not_shadowed(here: Path) -> None:
    for name in ("lightning", "json"):
        (here / f"parts/{name}.py").write_text("raise RuntimeError\n")
    open_door(code=["parts"])
    with pytest.raises(SettingsError, match=r"a module lightning is installed already \(.*lightning.*\); rename yours"):
        require("lightning.Mine", "strategy._target_")
    with pytest.raises(SettingsError, match=r"a module json is installed already \(Python's own\)"):
        require("json.Mine", "strategy._target_")
    sys.modules.pop("json")
    import json

    assert json.dumps(1) == "1"


def test_what_runs_is_the_text_that_was_read(here: Path) -> None:
    file = here / "parts/door_of_test.py"
    open_door(code=["parts"])
    assert sources().find("door_of_test") is not None
    file.write_text("VALUE = 2\n")
    import door_of_test

    assert door_of_test.VALUE == 1
    open_door(code=["parts"])
    import door_of_test

    assert sys.modules["door_of_test"].VALUE == 2


def test_another_process_imports_the_same_text(here: Path) -> None:
    (here / "options").mkdir()
    open_door(code=["parts"], config=["options"])
    sources().find("door_of_test")
    handed = UserCode.model_validate_json(hand_over().model_dump_json())
    (here / "parts/door_of_test.py").unlink()
    open_door()
    take_over(handed)
    assert user_code.config_folders() == (here / "options",)
    require("door_of_test.Mine", "strategy._target_")
    import door_of_test

    assert door_of_test.VALUE == 1


def test_folders_that_are_none_and_a_root_of_configuration(here: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere: no such folder; name the one that holds your code"):
        open_door(code=["nowhere"])
    (here / "parts/config.yaml").touch()
    with pytest.raises(SettingsError, match=r"config\.yaml: would replace the root of the configuration; rename it"):
        open_door(config=["parts"])


def test_a_module_that_changed_while_it_was_loaded_is_refused(here: Path) -> None:
    open_door(code=["parts"])
    sources().find("door_of_test")
    user_code.check_package_unchanged()
    (here / "parts/door_of_test.py").write_text("VALUE = 3\n")
    with pytest.raises(SettingsError, match="door_of_test changed while it was loaded; give the command again"):
        user_code.check_package_unchanged()
