"""Every mistake that the documentation names, through the command line: one message, status 2, nothing trained."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from peftrec.cli.main import MISTAKE, main

pytestmark = pytest.mark.integration

USERS = 6


def write_data(root: Path) -> None:
    """A small valid data set: ten items, six users with five to eight of them."""
    ids = [f"i{item}" for item in range(10)]
    (root / "items.tsv").write_text("".join(f"{name}\tthing number {name}\n" for name in ids))
    histories = [" ".join(ids[(user + step) % 10] for step in range(5 + user % 4)) for user in range(USERS)]
    (root / "users.tsv").write_text("".join(f"u{user}\t{history}\n" for user, history in enumerate(histories)))
    (root / "pictures").mkdir()
    for number, name in enumerate(ids):
        Image.new("RGB", (20, 30), (number * 20, 0, 0)).save(root / "pictures" / f"{name}.jpg")


def replace_line(file: str, number: int, line: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        lines = (root / file).read_text().splitlines()
        lines[number - 1] = line
        (root / file).write_text("\n".join(lines) + "\n")

    return change


def remove(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


def truncate(file: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = io.BytesIO((root / file).read_bytes()).read(200)
        (root / file).write_bytes(content)

    return change


DATA_MISTAKES = {
    "missing_file": (remove("users.tsv"), ["users.tsv"]),
    "column_count": (replace_line("items.tsv", 3, "i2"), ["items.tsv", ":3", "tab"]),
    "unknown_item": (replace_line("users.tsv", 2, "u1\ti1 i2 i3 i44 i5"), ["users.tsv", ":2", "i44"]),
    "duplicate_item": (replace_line("items.tsv", 5, "i1\tagain"), ["items.tsv", ":5", "i1"]),
    "duplicate_user": (replace_line("users.tsv", 4, "u0\ti1 i2 i3 i4 i5"), ["users.tsv", ":4", "u0"]),
    "empty_history": (replace_line("users.tsv", 6, "u5\t"), ["users.tsv", ":6"]),
    "short_history": (replace_line("users.tsv", 6, "u5\ti1 i2"), ["users.tsv", ":6", "data.short_histories=drop"]),
    "missing_image": (remove("pictures/i3.jpg"), ["i3", "data.missing_images=drop", "or towers.image=null"]),
    "corrupt_image": (truncate("pictures/i4.jpg"), ["i4", "data.corrupt_images=drop"]),
    "empty_title": (
        replace_line("items.tsv", 7, "i6\t "),
        ["items.tsv", ":7", "data.empty_titles=", "or towers.text=null"],
    ),
}
KEY_MISTAKES = {
    "strategy": (["strategy=lroa"], ["lroa", "lora"]),
    "tower": (["towers=tyni"], ["tyni", "tiny"]),
    "key": (["strategy=lora", "strategy.rnak=4"], ["strategy.rnak", "strategy.rank"]),
    "type": (["strategy=lora", "strategy.rank=abc"], ["strategy.rank", "abc", "integer"]),
    "lora_target": (["strategy=lora", "strategy.sites=[querry]"], ["querry", "query", "nothing"]),
    "missing_root": (["data=iisan"], ["data.root"]),
    "no_tower": (["towers.text=null", "towers.image=null"], ["towers.text", "towers.image"]),
    "checkpoint": (["towers.text.checkpoint=nowhere/at-all"], ["towers.text.checkpoint", "nowhere/at-all"]),
    "layers": (["strategy.layers=[9]"], ["strategy.layers", "4"]),
    "heads": (["embedding_dim=63"], ["user_encoder.num_heads", "embedding_dim=63"]),
    "name": (["name=.."], ["name: ", "letters, digits, dots, dashes and underscores"]),
}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", *arguments]) == MISTAKE
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("name", DATA_MISTAKES)
def test_data(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, expected = DATA_MISTAKES[name]
    write_data(tmp_path)
    change(tmp_path)
    runs = tmp_path / "runs"
    message = refused(["data=iisan", f"data.root={tmp_path}", "data.images=pictures", f"runs_dir={runs}"], capsys)
    for part in expected:
        assert part in message
    assert not runs.exists(), "something was started"


@pytest.mark.parametrize("name", KEY_MISTAKES)
def test_keys(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides, expected = KEY_MISTAKES[name]
    small = [] if name == "missing_root" else ["data.num_users=40", "data.num_items=100"]
    message = refused([*small, *overrides, f"runs_dir={tmp_path}"], capsys)
    for part in expected:
        assert part in message
    assert not list(tmp_path.rglob("record.json")), "a run was left"


def test_the_data_set_is_valid_without_the_mistakes(tmp_path: Path) -> None:
    write_data(tmp_path)
    data = ["data=iisan", f"data.root={tmp_path}", "data.images=pictures", f"runs_dir={tmp_path / 'runs'}"]
    assert main(["train", *data, "trainer.max_epochs=1", "trainer.accelerator=cpu"]) == 0


@pytest.mark.parametrize("policy", ["drop", "blank"])
def test_policies_mend_images_and_count_them(policy: str, tmp_path: Path) -> None:
    from peftrec.results.runs import find_runs

    write_data(tmp_path)
    remove("pictures/i3.jpg")(tmp_path)
    truncate("pictures/i4.jpg")(tmp_path)
    arguments = [
        "data=iisan",
        f"data.root={tmp_path}",
        "data.images=pictures",
        f"data.missing_images={policy}",
        f"data.corrupt_images={policy}",
        "data.short_histories=drop",
        "data.minimum_history=4",
        f"runs_dir={tmp_path / 'runs'}",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ]
    assert main(["train", *arguments]) == 0
    (run,) = find_runs(tmp_path / "runs")
    assert run.record.data is not None
    counted = {name: count for name, count in run.record.data.counts.items() if count}
    assert sum(counted.values()) >= 2
    assert run.record.data.num_candidates == (8 if policy == "drop" else 10)


def test_an_output_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").write_text("a file")
    message = refused(["data.num_users=40", "data.num_items=100", f"runs_dir={tmp_path / 'runs'}"], capsys)
    assert "runs_dir=DIR" in message
