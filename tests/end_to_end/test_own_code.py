"""A user's strategy in a sweep, from a folder with a file that shadows a library; its code changes meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.cli.main import main
from peftrec.code.user_code import open_door
from peftrec.jobs.starting import ForkServer
from peftrec.results.runs import find_runs

pytestmark = pytest.mark.integration

CODE = """
from pathlib import Path

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.id import IdEmbedding

WIDTH = 1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rewriting(IdEmbedding):
    def adapt(self, *arguments, **keywords):
        file = Path("parts/rewriting.py")
        with open("widths.txt", "a") as widths:
            widths.write(f"{WIDTH}\\n")
        file.write_text(file.read_text().replace("WIDTH = 1", "WIDTH = 2"))
        return super().adapt(*arguments, **keywords)
"""
SMALL = (
    *("data.num_users=40", "data.num_items=100", "towers=tiny", "embedding_dim=8", "trainer=cpu"),
    *("trainer.max_epochs=1", "runs_dir=runs"),
)


@pytest.fixture
def _in_a_folder_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "parts/strategy").mkdir(parents=True)
    (tmp_path / "parts/rewriting.py").write_text(CODE)
    (tmp_path / "parts/strategy/rewriting.yaml").write_text("_target_: rewriting.Rewriting\n")
    (tmp_path / "lightning.py").write_text("raise RuntimeError('this is not the library')\n")
    monkeypatch.chdir(tmp_path)
    yield
    open_door()


@pytest.mark.usefixtures("_in_a_folder_of_the_users")
def test_all_jobs_of_a_sweep_run_the_code_that_it_started_with(
    tmp_path: Path, job_server: ForkServer, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = ["train", "--config-dir", "parts", "-m", "strategy=rewriting", "seed=1,2", *SMALL]
    assert main(sweep) == 0, capfd.readouterr()
    assert "WIDTH = 2" in (tmp_path / "parts/rewriting.py").read_text()
    assert (tmp_path / "widths.txt").read_text().split() == ["1", "1"]
    first, second = find_runs(tmp_path / "runs/default")
    assert first.is_success
    assert second.is_success
    assert first.record.latest.modules == second.record.latest.modules
    assert "rewriting" in first.record.latest.modules
    capfd.readouterr()
    assert main(["train", "--config-dir", "parts", "strategy=rewriting", "seed=1", *SMALL]) == 0
    assert "under other code (rewriting), so this run trains anew" in capfd.readouterr().err
    run = first.folder
    assert main(["evaluate", f"run={run}"]) == 2
    assert "rewriting.Rewriting is no class of peftrec" in capfd.readouterr().err
    assert main(["evaluate", f"run={run}", "--config-dir", "parts"]) == 0
    assert main(["report", "runs/default"]) == 0, "a report reads records and needs no code"
    assert (
        "later code answered the same"
        in capfd.readouterr().out + (tmp_path / "runs/default/report/index.html").read_text()
    )
