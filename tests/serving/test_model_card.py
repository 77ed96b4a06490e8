"""What a card tells others to do works without this package."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peftrec.serving.exporting import export_run
from peftrec.serving.model_card import _TIMED_SCRIPT
from peftrec.serving.recommending import recommend
from peftrec.serving.user_histories import SECONDS_A_DAY, UserHistories
from peftrec.training.run.restored_run import RestoredRun
from recommend_requests import read_request

WITHOUT_PEFTREC = (
    "import runpy, sys; sys.modules['peftrec'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
)
"""Import of a module that stands as None fails as that of one which is not there."""


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
    assert len(script.splitlines()) <= 22
    (export.folder / "recommend.py").write_text(script)

    run = restored("id")
    history = [run.split.items.ids[row] for row in UserHistories.of(run, day_length=SECONDS_A_DAY).of_user("u3").items]
    command = [sys.executable, "-c", WITHOUT_PEFTREC, "recommend.py", *history]
    done = subprocess.run(command, cwd=export.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [line.split(" ", 2) for line in done.stdout.splitlines()]

    expected = recommend(read_request([f"run={run_directory}", "user=u3", "k=10"]), None).recommendations
    assert [ast.literal_eval(item) for _, item, _ in found] == [each.item for each in expected]
    assert [ast.literal_eval(title) for _, _, title in found] == [each.title for each in expected]
    scores = [each.score for each in expected]
    assert [float(score) for score, _, _ in found] == pytest.approx(scores, abs=1e-5 * max(map(abs, scores)))


def test_the_script_for_times_is_the_script_with_times() -> None:
    compile(_TIMED_SCRIPT, "recommend.py", "exec")
    assert "user_encoder(embeddings[rows], mask, times)" in _TIMED_SCRIPT
    assert _TIMED_SCRIPT.count("times = torch.tensor") == 1
