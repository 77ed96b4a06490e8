"""What a card tells others to do works without this package."""

import ast
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from peftrec.data.interactions import Interactions
from peftrec.serving.exporting import export_run
from peftrec.serving.model_card import _recommend
from peftrec.serving.recommending import recommend
from peftrec.serving.user_encoder_file import write_user_encoder
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.training.run.restored_run import RestoredRun
from recommend_requests import read_request

pytestmark = pytest.mark.integration

WITHOUT_PEFTREC = (
    "import runpy, sys; sys.modules['peftrec'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
)
"""Import of a module that stands as None fails as that of one which is not there."""


ScriptEnds = Callable[..., str]


@pytest.fixture
def script_ends(monkeypatch: pytest.MonkeyPatch) -> ScriptEnds:
    """Run a script with words that it refuses, and return what it says."""

    def said(script: Path, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return str(ended.value.code)

    return said


def script_of(card: str) -> str:
    return card.split("```python\n")[1].split("```", maxsplit=1)[0]


@pytest.mark.usefixtures("answers_from_restored")
def test_the_script_recommends_what_the_verb_does(
    train: Callable[..., Path], restored: Callable[..., RestoredRun], tmp_path: Path
) -> None:
    run_directory = train("id")
    export = export_run(run_directory, to=tmp_path / "export")
    script = script_of((export.folder / "README.md").read_text())
    assert "import peftrec" not in script
    assert len(script.splitlines()) <= 26
    (export.folder / "recommend.py").write_text(script)

    run = restored("id")
    history = [run.split.items.ids[row] for row in UserHistories.of(run, day_length=SECONDS_A_DAY).of_user("u3").items]
    command = [sys.executable, "-c", WITHOUT_PEFTREC, str(export.folder / "recommend.py"), *history]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # from any folder
    assert done.returncode == 0, done.stderr
    found = [line.split(" ", 2) for line in done.stdout.splitlines()]

    expected = recommend(read_request([f"run={run_directory}", "user=u3", "k=10"]), None).recommendations
    assert [ast.literal_eval(item) for _, item, _ in found] == [each.item for each in expected]
    assert [ast.literal_eval(title) for _, _, title in found] == [each.title for each in expected]
    scores = [each.score for each in expected]
    assert [float(score) for score, _, _ in found] == pytest.approx(scores, abs=1e-5 * max(map(abs, scores)))


@pytest.mark.usefixtures("answers_from_restored")
def test_the_script_says_what_to_give(train: Callable[..., Path], tmp_path: Path, script_ends: ScriptEnds) -> None:
    export = export_run(train("id"), to=tmp_path / "export")
    script = export.folder / "recommend.py"
    script.write_text(script_of((export.folder / "README.md").read_text()))
    assert script_ends(script) == (
        "usage: python recommend.py ITEM ITEM ..., oldest first, by ids of items.parquet, such as 'm0'"
    )
    assert script_ends(script, "m3", "m400") == "items.parquet has no item 'm400'; its ids are such as 'm0'"
    assert script_ends(script, "", "x y") == "items.parquet has no item '', 'x y'; its ids are such as 'm0'"


class LastTimes(nn.Module):
    """The last item, scaled by the days between it and the one before."""

    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        assert times is not None
        days = torch.diff(times, dim=1, prepend=times[:, :1]) / 86_400
        return embeddings * days[..., None].to(embeddings.dtype)


@pytest.mark.slow
def test_the_script_for_times_gives_them_to_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script_ends: ScriptEnds
) -> None:
    embeddings = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    histories = replace(Interactions.from_lists(["u"], [[3, 1, 4]]), times=np.array([0, 86_400, 3 * 86_400]))
    written = write_user_encoder(
        LastTimes(),
        tmp_path / "user_encoder.pt2",
        embeddings=embeddings,
        histories=histories,
        longest=5,
        reads_times=True,
    )
    np.save(tmp_path / "item_embeddings.npy", embeddings)
    pd.DataFrame({"id": [f"i{row}" for row in range(20)], "title": [None] * 20}).to_parquet(tmp_path / "items.parquet")
    (tmp_path / "recommend.py").write_text(script_of(_recommend(written)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["recommend.py", "i3@0", "i1@86400", "i4@259200"])
    runpy.run_path("recommend.py", run_name="__main__")
    scores = embeddings @ embeddings[4] * 2  # days
    scores[[3, 1, 4]] = -np.inf
    lines = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    assert [item for _, item, _ in lines] == [f"'i{row}'" for row in np.argsort(-scores)[:10]]
    assert [float(score) for score, _, _ in lines] == pytest.approx(np.sort(scores)[::-1][:10], abs=1e-5)
    words_of_none = ["i3@x", "i3@", "@5", "i3@nan", "i3@inf", "i3@1e999", "i3@0x1", "i3@-", "i3@\N{SUPERSCRIPT TWO}"]
    for words in ([], ["i3"], *(["i1@0", word] for word in words_of_none)):
        assert script_ends(Path("recommend.py"), *words) == (
            "usage: python recommend.py ITEM@TIME ITEM@TIME ..., oldest first, by ids of items.parquet and times of "
            f"the data, such as 'i0@0'; got {words}"
        )
    assert script_ends(Path("recommend.py"), "i3@0", "i400@5").startswith("items.parquet has no item 'i400'; ")
    assert script_ends(Path("recommend.py"), "i3@5", "i1@4") == (
        "times fall in ['i3@5', 'i1@4']: give the oldest item first"
    )
