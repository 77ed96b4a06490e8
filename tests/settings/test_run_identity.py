"""Which configurations lead to one run's folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from peftrec.settings.run_identity import are_one_run, execution_differences
from small_runs import small_config


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"compile": True, "num_workers": 3, "devices": 4, "strategy": "ddp"}, True),
        ({"compile": True, "max_epochs": 3}, False),
        ({"negatives": "local"}, False),  # of several devices it decides
    ],
)
def test_what_makes_two_runs_one(tmp_path: Path, changes: dict[str, Any], expected: bool) -> None:
    config = small_config(tmp_path, "id")
    other = small_config(tmp_path, "id", trainer=changes)
    assert are_one_run(config, other) == are_one_run(other, config) == expected
    assert set(execution_differences(other, config)) == {
        f"trainer.{key}={json.dumps(value)}" for key, value in changes.items() if key != "max_epochs"
    }
    assert not are_one_run(config, small_config(tmp_path / "elsewhere", "id"))
    for change in ({"name": "other"}, {"seed": 2}):
        assert not are_one_run(config, small_config(tmp_path, "id", **change))
