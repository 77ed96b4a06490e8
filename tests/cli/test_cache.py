"""`peftrec cache`: what each action prints, changes and refuses."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.hidden_states.manifest import read_manifest
from peftrec.hidden_states.paths import array_path
from small_stores import build, key_of, small_source

pytestmark = pytest.mark.integration

SMALL = ("data.num_users=40", "data.num_items=100", "trainer.accelerator=cpu")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = cli.main(["cache", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """Two stores, of which one is damaged."""
    directory = tmp_path / "stores"
    build(directory)
    build(directory, key_of("float16"))
    path = array_path(directory / key_of("float16").folder_name(), "text")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return directory


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from peftrec.cli.main import main\nmain(['cache', '--help']); main(['cache'])\n"
        "sys.exit(bool({'torch', 'hydra', 'omegaconf', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bild",), "cache bild: did you mean build?"),
        (("xyz",), "choose one of build, verify, list, prune"),
        (("list", "a", "b"), "give one folder of stores"),
        (("list", "nowhere"), "nowhere: no such folder of stores"),
        (("prune", ".", "older_than=3"), "older_than=3: give hours, days or weeks: older_than=5h, 30d or 8w"),
        (("prune", ".", "yes=maybe"), "yes=maybe: expected true or false"),
        (("list", "hidden_state.directory=x"), "hidden_state"),
        (("build", "strategy=lora"), "strategy.blocks=all leaves no part of a tower frozen"),
        (("build", "hidden_states.dtype=float64"), "hidden_states.dtype"),
    ],
)
def test_mistakes_are_one_line_and_status_two(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        # A training opens its store as `cache build` does.
        pytest.param(verb, name, marks=[pytest.mark.slow] if verb == ("train",) and name != "file/below" else [])
        for verb in (("cache", "build"), ("cache", "list"), ("train",))
        for name in ("file", "file/below", "loop/below", "n" * 300)
    ],
)
def test_a_place_that_holds_no_stores_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...], name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    directory = tmp_path / name
    words = (*SMALL, "strategy=iisan_cached", f"runs_dir={tmp_path / 'runs'}", f"hidden_states.directory={directory}")
    assert cli.main([*verb, *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert str(directory) in line
    assert "set hidden_states.directory=DIR" in line


def test_build_builds_once_what_the_run_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*SMALL, f"runs_dir={tmp_path}", "hidden_states.batch_size=16")
    status, out, _ = run(capsys, "build", *words)
    assert status == 0
    (folder,) = (tmp_path / "hidden_states").iterdir()
    assert out.startswith(f"built: {folder}: 97 items, float32, 0.1 MB; building took ")
    assert out.endswith(" items/s\n")
    status, out, _ = run(capsys, "build", "strategy=iisan_cached", *words)
    assert status == 0
    assert out.startswith(f"exists: {folder}: ")
    status, out, _ = run(capsys, "list", *words)
    assert status == 0
    assert "package:tiny_towers/vit + package:tiny_towers/bert " in out
    status, _, _ = run(capsys, "build", "towers.text.weights=int8", *words)
    assert status == 0
    status, out, _ = run(capsys, "list", *words)
    assert "package:tiny_towers/vit + package:tiny_towers/bert in int8 " in out  # told from the store of float32
    assert cli.main(["train", "strategy=iisan_cached", "trainer.max_epochs=1", *words]) == 0
    assert folder in (tmp_path / "hidden_states").iterdir()
    assert len(list((tmp_path / "hidden_states").iterdir())) == 2


def test_build_says_what_rounding_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "build", *SMALL, f"runs_dir={tmp_path}", "hidden_states.dtype=int8")
    assert status == 0
    (folder,) = (tmp_path / "hidden_states").iterdir()
    most = max(error for errors in read_manifest(folder).rounding.values() for error in errors)
    assert f"97 items, int8 (off by {most:.2g} of a state), " in out


def test_verify_reads_everything_and_fails_for_damage(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, damaged = (stores / key_of(dtype).folder_name() for dtype in ("float32", "float16"))  # type: ignore[arg-type]
    status, out, err = run(capsys, "verify", str(stores))
    assert status == 1
    assert out == f"{whole}: whole, 0.0 MB\n"
    assert err.startswith(f"error: {damaged / 'text.npy'}: checksum differs in bytes 0 to ")
    assert run(capsys, "verify", str(whole)) == (0, f"{whole}: whole, 0.0 MB\n", "")
    (whole / "manifest.json").unlink()
    status, _, err = run(capsys, "verify", str(whole))
    assert status == 1
    assert "manifest.json: missing" in err


def test_list_compares_sizes_and_the_help_says_so(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Listing must stay cheap where stores have terabytes; a byte that changed in place is verify's to find."""
    damaged = array_path(stores / key_of("float16").folder_name(), "text")
    assert "damaged" not in run(capsys, "list", str(stores))[1]
    assert run(capsys, "prune", str(stores))[1].startswith("0 of 2 stores")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert "damaged" in run(capsys, "list", str(stores))[1]
    assert "1 of 2 stores" in run(capsys, "prune", str(stores))[1]
    assert "bytes that changed in place are found by verify alone" in run(capsys)[1]


def test_list_has_a_line_a_store(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(stores / key_of().folder_name(), (0, time.time() - 3 * 24 * 3600))
    status, out, _ = run(capsys, "list", str(stores))
    assert status == 0
    heading, *lines, total = out.splitlines()
    assert heading.split() == ["STORE", "TOWERS", "ITEMS", "STATES", "DTYPE", "SIZE", "USED", "STATE"]
    cells = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert cells[key_of().folder_name()] == "small image + small text 23 3 + 2 float32 0.0 MB 3d ago whole"
    assert cells[key_of("float16").folder_name()] == "small image + small text 23 3 + 2 float16 0.0 MB now whole"
    assert total.startswith("2 stores in ")


def test_list_says_which_store_holds_states_of_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_of(form="tokens")
    build(tmp_path, key.model_copy(update={"towers": {"text": key.towers["text"]}}), small_source("text_only"))
    assert "small text  23     2 of tokens  float32" in run(capsys, "list", str(tmp_path))[1]


def test_prune_names_first_and_removes_on_demand(stores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = stores / key_of().folder_name()
    os.utime(old, (0, time.time() - 40 * 24 * 3600))
    assert run(capsys, "prune", str(stores))[1].startswith("0 of 2 stores")
    status, out, _ = run(capsys, "prune", str(stores), "older_than=30d")
    assert status == 0
    assert old.name in out
    assert "1 of 2 stores, 0.0 MB, would go; say yes=true to remove them" in out
    assert old.exists()
    assert "removed 1 of 2 stores" in run(capsys, "prune", str(stores), "older_than=30d", "yes=true")[1]
    (left,) = stores.iterdir()
    assert left.name == key_of("float16").folder_name()
    assert "removed 1 of 1" in run(capsys, "prune", str(left), "yes=true")[1]
    assert not list(stores.iterdir())


def test_a_store_is_known_from_inside_its_folder(
    stores: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stores / key_of().folder_name()
    monkeypatch.chdir(whole)
    assert run(capsys, "verify", ".") == (0, f"{whole}: whole, 0.0 MB\n", "")
    assert "1 store in" in run(capsys, "list", ".")[1]


def test_building_on_several_devices_takes_as_many_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["strategy=iisan_cached", f"hidden_states.directory={tmp_path}", "trainer=ddp", "trainer.accelerator=cpu"]
    status, _, errors = run(capsys, "build", *words, "trainer.devices=2")
    assert status == 2
    assert "trainer.devices: one process would build on one of 2 devices" in errors
    assert "torchrun --nproc-per-node=2 -m peftrec cache build" in errors
    assert not list(tmp_path.iterdir())


def test_verify_of_a_folder_without_a_store_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, errors = run(capsys, "verify", str(tmp_path))
    assert status == 2
    assert f"error: {tmp_path}: no store here" in errors
