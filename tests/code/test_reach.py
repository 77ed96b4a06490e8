"""Which modules a module reaches by import."""

from pathlib import Path

import pytest

from peftrec.code.fingerprint import Fingerprint, take_fingerprint
from peftrec.code.places import Sources
from peftrec.code.reach import reached
from peftrec.errors import SettingsError

FILES = {
    "own/__init__.py": "from own import greeting\n",
    "own/greeting.py": "HELLO = 1\n",
    "own/start.py": "def run():\n    from .parts import first as one\n    import own.late\n",
    "own/late.py": "try:\n    import torch\nexcept ImportError:\n    import other\n",
    "own/parts/__init__.py": "",
    "own/parts/first.py": "from . import second\nfrom .. import sideways\n",
    "own/parts/second.py": "import own.start\n",  # a circle
    "own/parts/third.py": "",
    "own/sideways.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import own.unseen\nelse:\n    import own.seen\n"
    ),
    "own/seen.py": "from peftrec.strategies.base import Strategy\nfrom peftrec.results.record import Record\n",
    "own/unseen.py": "",
    "other.py": "import own.broken as b\n",
    "own/broken.py": "",
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(folders=(tmp_path,))


def test_imports_are_followed_wherever_they_stand(sources: Sources) -> None:
    found = {name for name in reached(["own.start"], sources, without=frozenset({"results"})) if name[0] == "o"}
    unreached = {"own.unseen", "own.parts.third"}
    every = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in FILES}
    assert found == every - unreached


def test_this_package_is_followed_too_but_for_rooms_that_decide_nothing(sources: Sources) -> None:
    everything = reached(["own.seen"], sources)
    without = reached(["own.seen"], sources, without=frozenset({"results"}))
    assert "peftrec.strategies.base" in without
    assert "peftrec.results.record" in everything
    assert not [name for name in without if name.startswith("peftrec.results")]
    assert "peftrec" not in everything, "its __init__ holds the version, which decides nothing"
    assert not [name for name in everything if name.partition(".")[0] in {"torch", "numpy", "typing"}]


def test_source_that_cannot_be_read_is_named_with_its_line(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "own/broken.py").write_text("X = 1\ndef f(:\n")
    with pytest.raises(SettingsError, match=r"own/broken\.py:2: .*; Python cannot read it"):
        reached(["own.start"], sources)


def test_a_name_that_another_package_has_is_not_the_users(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "json.py").write_text("")
    (tmp_path / "mine.py").write_text("import torch, json\n")
    sources = Sources(folders=(tmp_path,))
    assert set(reached(["mine"], sources)) == {"mine"}
    assert sources.taken("torch.nn") is not None
    assert sources.taken("json") == "Python's own"
    assert sources.taken("mine") is None


def test_a_fingerprint_is_of_what_was_read_first(sources: Sources, tmp_path: Path) -> None:
    before = take_fingerprint(["own.start"], ["numpy"], sources)
    (tmp_path / "own/late.py").write_text("import own.parts.third\n")
    assert take_fingerprint(["own.start"], ["numpy"], sources) == before
    after = take_fingerprint(["own.start"], ["numpy"], Sources(folders=(tmp_path,)))
    assert after.digest != before.digest
    assert after.differences(before) == "other, own.late"


def test_differences_name_modules_and_versions() -> None:
    former = Fingerprint(modules={"a": "1", "b": "1"}, versions={"torch": "2.1", "peft": "1"})
    now = Fingerprint(modules={"a": "2", "c": "1"}, versions={"torch": "2.2", "peft": "1"})
    assert now.differences(former) == "a, b, c; torch 2.1 -> 2.2"
    assert now.differences(now) == ""
    assert former.digest != now.digest
    assert former.digest == Fingerprint(modules={"b": "1", "a": "1"}, versions={"peft": "1", "torch": "2.1"}).digest
