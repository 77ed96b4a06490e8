"""Synthetic runs for the tests of results: a handful of records that keep the schema."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record, write_example_records, write_run
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.report.report import Report, write_report
from peftrec.results.runs import Run, find_runs

NUM_USERS = 60


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of seven strategies with two seeds, which tests read and leave as it is."""
    return write_example_records(tmp_path_factory.mktemp("example"), seeds=2, num_users=NUM_USERS)


@pytest.fixture(scope="session")
def written(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the example in a folder of its own, which tests read and leave as it is."""
    return write_report(shutil.copytree(example, tmp_path_factory.mktemp("written") / example.name))


@pytest.fixture
def experiment(example: Path, tmp_path: Path) -> Path:
    """The example, for a test to change."""
    return shutil.copytree(example, tmp_path / example.name)


@pytest.fixture
def few(example: Path, tmp_path: Path) -> Path:
    """Three strategies of the example, for a test to change that reads all ranks again."""
    for name in ("id", "iisan", "lora"):
        for seed in (1, 2):
            shutil.copytree(example / f"{name}-example{seed}", tmp_path / "few" / f"{name}-example{seed}")
    return tmp_path / "few"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out of reports: drawing them takes longer than all else, and `test_figures.py` draws them."""
    nothing = SimpleNamespace(quality_vs_tpme=lambda _: {}, quality_vs_costs=lambda _: {})
    monkeypatch.setattr("peftrec.results.report.report.figures", nothing)


@pytest.fixture
def runs(example: Path) -> list[Run]:
    return find_runs(example)


@pytest.fixture
def record() -> Record:
    return made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, NUM_USERS))


def asked(values: dict[str, Any]) -> dict[str, str]:
    """Return what a run's question is known by where its configuration is another one."""
    return {"question_hash": json.dumps(values["config"], sort_keys=True)} if "config" in values else {}


@pytest.fixture
def change() -> Callable[..., None]:
    """Rewrite a run's record with other values, and check them against the schema as a reader would."""

    def rewrite(folder: Path, **values: Any) -> None:
        write_record(read_record(folder).model_copy(update={**asked(values), **values}), folder)
        read_record(folder)

    return rewrite


@pytest.fixture
def add_run(experiment: Path) -> Callable[..., Path]:
    """Write one more run of a strategy, with other values than the example has."""

    def write(strategy: str, seed: int, run_id: str, **values: Any) -> Path:
        invented = next(one for one in STRATEGIES if one.strategy == strategy)
        ranks = made_up_ranks(invented.skill, seed, NUM_USERS)
        made = made_up_record(invented, seed, ranks).model_copy(update={"run_id": run_id, **asked(values), **values})
        write_run(experiment / run_id, made, ranks)
        return experiment / run_id

    return write
