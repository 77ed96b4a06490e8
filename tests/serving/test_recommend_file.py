"""Lists for many users in a file: the same as each user's own, whole or not at all."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from peftrec.cli.main import main
from peftrec.serving import many_users, recommend_file
from peftrec.serving.loaded_run import LoadedRun

pytestmark = pytest.mark.usefixtures("answers_from_restored")


@pytest.fixture
def loaded(restored: Callable[..., object]) -> LoadedRun:
    return LoadedRun(directory=restored("iisan_cached").directory)  # type: ignore[attr-defined]


def ask(run: LoadedRun, to: Path, *words: str) -> int:
    return main(["recommend", f"run={run.directory}", f"to={to}", *words])


@pytest.mark.parametrize("score_bytes", [2**26, 1])
def test_everybody_is_answered_as_if_asked_alone(
    score_bytes: int,
    loaded: LoadedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one block, and in a block a user."""
    monkeypatch.setattr(many_users, "SCORE_BYTES", score_bytes)
    assert ask(loaded, tmp_path / "new" / "all.parquet", "users=all", "k=7") == 0
    assert capsys.readouterr().out == f"112 rows of 16 users: {tmp_path / 'new' / 'all.parquet'}\n"
    found = pd.read_parquet(tmp_path / "new" / "all.parquet")
    assert list(found.columns) == ["user", "rank", "item", "score"]
    assert found["user"].drop_duplicates().tolist() == list(loaded.users)
    for user, rows in found.groupby("user"):
        assert main(["recommend", f"run={loaded.directory}", f"user={user}", "k=7", "--json"]) == 0
        single = json.loads(capsys.readouterr().out)["recommendations"]
        assert rows["item"].tolist() == [each["item"] for each in single]
        assert rows["score"].tolist() == [each["score"] for each in single]
        assert rows["rank"].tolist() == [*range(1, 8)]


def write_users(folder: Path, form: str, users: list[str]) -> Path:
    file = folder / f"users.{form}"
    frame = pd.DataFrame({"name": "x", "user": users})
    if form == "parquet":
        frame.to_parquet(file)
    elif form == "csv":
        frame.to_csv(file, index=False)
    else:
        file.write_text("\n".join(users) + "\n")
    return file


@pytest.mark.parametrize("form", ["txt", "csv", "parquet"])
def test_users_are_read_from_text_and_tables(form: str, loaded: LoadedRun, tmp_path: Path) -> None:
    file = write_users(tmp_path, form, ["u9", "u2"])
    assert ask(loaded, tmp_path / "two.parquet", f"users={file}", "k=3", "seen=true") == 0
    found = pd.read_parquet(tmp_path / "two.parquet")
    expected = loaded.recommend(["u9", "u2"], k=3, seen=True).drop(columns="title")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_unknown_users_are_one_message_or_skipped_and_counted(
    loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_users(tmp_path, "txt", ["u3", "44", "u1", "45", "46", "47", "u3"])
    assert ask(loaded, tmp_path / "some.parquet", f"users={file}") == 2
    said = capsys.readouterr().err
    assert f"users={file}: 4 of 6 users are not among the 16 of the run: '44'; " in said
    assert said.endswith("; and 1 more; correct them, or leave them out by unknown=skip\n")
    assert not (tmp_path / "some.parquet").exists()
    assert ask(loaded, tmp_path / "some.parquet", f"users={file}", "unknown=skip", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    counts = {"num_users": 2, "num_rows": 20, "num_skipped": 4, "num_repeated": 1}
    assert told == {**counts, "content_neighbours": None}
    assert pd.read_parquet(tmp_path / "some.parquet")["user"].drop_duplicates().tolist() == ["u3", "u1"]
    assert pq.read_schema(tmp_path / "some.parquet").metadata[b"peftrec.users_skipped"] == b"4"
    assert ask(loaded, tmp_path / "some.parquet", f"users={file}", "unknown=skip", "overwrite=true") == 0
    said = capsys.readouterr().err
    assert "4 unknown users were skipped\n1 line names a user of before" in said


def test_a_heading_of_a_text_is_no_user(loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "some.parquet"
    file = write_users(tmp_path, "txt", ["user", "u3", "u1"])
    assert ask(loaded, to, f"users={file}", "k=2") == 0
    assert pd.read_parquet(to)["user"].tolist() == ["u3", "u3", "u1", "u1"]
    file = write_users(tmp_path, "txt", ["user_id", "u3"])
    assert ask(loaded, to, f"users={file}", "overwrite=true") == 2
    assert capsys.readouterr().err.endswith("by unknown=skip; if line 1 is a heading, call it user\n")


def test_where_all_users_are_unknown_nothing_is_written(
    loaded: LoadedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_users(tmp_path, "txt", ["44", "45", "44"])
    assert ask(loaded, tmp_path / "none.parquet", f"users={file}", "unknown=skip") == 2
    assert capsys.readouterr().err == (
        f"error: users={file}: none of 2 users is among the 16 of the run, and nothing is written; the run's users are "
        "called 'u0', 'u1', 'u2'\n"
    )
    assert not (tmp_path / "none.parquet").exists()


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENOENT])
def test_a_place_that_cannot_be_written_is_named_before_the_run_is_read(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As /proc says that there is no such file, and a locked folder that permission is denied."""

    def refuse(path: Path, **_: object) -> None:
        raise OSError(error, os.strerror(error), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    to = tmp_path / "all.parquet"
    assert main(["recommend", f"run={tmp_path / 'no run'}", f"to={to}", "users=all"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: to={to}: no file can be written there ({os.strerror(error)}); name one in another")
    assert ".partial" not in said


def test_what_fails_in_between_leaves_what_was_there(
    loaded: LoadedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_users, "SCORE_BYTES", 1)
    (tmp_path / "all.parquet").write_text("of before")
    whole, asked = recommend_file.as_columns, []

    def fail_at_the_third(*arguments: object) -> object:
        asked.append(arguments)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(recommend_file, "as_columns", fail_at_the_third)
    assert ask(loaded, tmp_path / "all.parquet", "users=all", "overwrite=true") == 130
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]
    assert (tmp_path / "all.parquet").read_text() == "of before"


def test_new_items_are_ranked_too(loaded: LoadedRun, tables: Path, tmp_path: Path) -> None:
    lines = [f"new-{item}\t{title}\t{tables}/images/{item}.png" for item, title in loaded.items.to_numpy().tolist()]
    (tmp_path / "new.tsv").write_text("item\ttitle\timage\n" + "\n".join(lines) + "\n")
    assert ask(loaded, tmp_path / "a.parquet", "users=all", f"candidates={tmp_path / 'new.tsv'}") == 0
    found = pd.read_parquet(tmp_path / "a.parquet")
    assert found["item"].str.startswith("new-").any()
    assert (np.diff(found["score"].to_numpy().reshape(-1, 10), axis=1) <= 0).all()
