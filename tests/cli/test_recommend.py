"""Words of `peftrec recommend`."""

from pathlib import Path

import pytest

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
        (["run=r"], r"give one of user=ID and items="),
        (["run=r", "user=1", "items=[2]"], "give one of user=ID and items="),
        (["run=r", "user=1", "user=2"], "user is given twice"),
        (["run=r", "user="], "user=: give user a value"),
        (["run=r", "items=[]"], "items=\\[\\]: expected ids"),
        (["run=r", "items=[1,,2]"], "expected ids with commas between them"),
        (["run=r", "user=1", "k=0"], "k=0: expected a whole number from 1"),
        (["run=r", "user=1", "k=ten"], "k=ten: expected a whole number"),
        (["run=r", "user=1", "seen=yes"], "seen=yes: expected true or false"),
        (["run=r", "usr=1"], "usr=1: did you mean user?"),
        (["run=r", "user=1", "profile.alpha=2"], "describes a profile: choose one, for example profile=pinnersage"),
        (["run=r", "user=1", "zzz"], "zzz: unknown; see peftrec recommend --help"),
    ],
)
def test_mistakes_name_the_word_and_the_remedy(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        read_request(words)
