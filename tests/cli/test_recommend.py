"""Words of `peftrec recommend`."""

from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.errors import SettingsError
from peftrec.serving.recommend_request import RecommendRequest
from recommend_requests import read_request


def test_words_are_sorted() -> None:
    request = read_request(
        ["run=runs/a", "user=007", "k=3", "seen=true", "candidates=new.tsv", "profile=pinnersage", "profile.alpha=2"]
    )
    assert request == RecommendRequest(
        run=Path("runs/a"),
        user="007",
        items=(),
        k=3,
        candidates=Path("new.tsv"),
        keeps_seen=True,
        profile_words=("profile=pinnersage", "profile.alpha=2"),
    )


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("[1,2]", ("1", "2")),
        ("007", ("007",)),
        ("[ a , b ]", ("a", "b")),
        ('["a,b",c]', ("a,b", "c")),
        ("[a=b]", ("a=b",)),
    ],
)
def test_ids_are_text(text: str, ids: tuple[str, ...]) -> None:
    assert read_request(["run=r", f"items={text}"]).items == ids


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user=1"], "run is required: set run=RUN_DIR"),
        (["run=r"], r"give one of user=ID, users=FILE and items="),
        (["run=r", "user=1", "items=[2]"], "give one of user=ID, users=FILE and items="),
        (["run=r", "user=1", "user=2"], "user is given twice"),
        (["run=r", "user="], "user=: give user a value"),
        (["run=r", "items=[]"], "items=\\[\\]: expected ids"),
        (["run=r", "items=[1,,2]"], "expected ids with commas between them"),
        (["run=r", "user=1", "k=0"], "k=0: expected a whole number from 1"),
        (["run=r", "user=1", "k=ten"], "k=ten: expected a whole number"),
        (["run=r", "user=1", "seen=yes"], "seen=yes: expected true or false"),
        (["run=r", "user=1", "seen=ture"], "seen=ture: expected true or false; did you mean true?"),
        (["run=r", "usr=1"], "usr=1: did you mean user=1?"),
        (["run=r", "user=1", "profile.alpha=2"], "describes a profile: choose one, for example profile=pinnersage"),
        (["run=r", "user=1", "zzz"], "zzz: write KEY=VALUE"),
    ],
)
def test_mistakes_name_the_word_and_the_remedy(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        read_request(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("users=all", "to is required: set to=FILE.parquet"),
        ("users=all to=a.csv", "to=a.csv: the answer is a Parquet table: let the name end in .parquet"),
        ("users=all to=there.parquet", "there is such a file; name another one, or add overwrite=true"),
        ("users=all to=folder.parquet", "to=folder.parquet: a folder; name a file in it"),
        ("users=all to=a.parquet user=1", "give one of users=FILE and user="),
        ("users=all to=a.parquet unknown=drop", "unknown=drop: expected error or skip"),
        ("users=all to=a.parquet k=0", "k=0: expected a whole number from 1"),
        ("users=all to=a.parquet profile=kmeans", "profile=kmeans: many users are answered by the run's user encoder"),
        ("users=none.txt to=a.parquet", "users=none.txt: no such file; give text with an id a line, or a table"),
        ("users=empty.txt to=a.parquet", "empty.txt: the file is empty"),
        ("users=gap.txt to=a.parquet", "gap.txt:2: the line is empty; remove it"),
        (
            "users=users.csv to=a.parquet",
            "users.csv: there is no column 'user': its columns are users, name; name the one of ids `user`",
        ),
        (
            "users=bare.csv to=a.parquet",
            "bare.csv: there is no column 'user': its column is u1; name the one of ids `user`; if the first line is a "
            "row already, put a line of names above it, such as user,",
        ),
        ("user=1 to=a.parquet", "to= goes with users=FILE"),
    ],
)
def test_mistakes_about_many_users_are_told_before_a_run_is_loaded(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("peftrec.results.record.read_finished", lambda run: None)
    (tmp_path / "there.parquet").touch()
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "gap.txt").write_text("a\n\nb\n")
    (tmp_path / "bare.csv").write_text("u1\nu2\n")
    (tmp_path / "users.csv").write_text("users,name\n1,a\n")
    assert main(["recommend", "run=nowhere", *words.split()]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
