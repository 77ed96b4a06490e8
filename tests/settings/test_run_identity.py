"""Which configurations lead to one run's folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from peftrec.config.roles import Role, roles_of
from peftrec.settings.run import settings_from_config
from peftrec.settings.run_identity import (
    are_one_run,
    cost_conditions,
    cost_differences,
    deciding_config,
    processes_decide,
)
from small_runs import small_config


def without_dropout() -> dict[str, Any]:
    towers: dict[str, Any] = small_config(Path(), "full")["towers"]
    for tower in towers.values():
        tower["architecture"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return towers


def roles_in(config: dict[str, Any]) -> dict[str, Role]:
    return roles_of(settings_from_config(config))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"compile": True, "num_workers": 3, "strategy": "ddp"}, True),
        ({"devices": 2}, True),
    ],
)
def test_what_makes_two_runs_one(tmp_path: Path, changes: dict[str, Any], expected: bool) -> None:
    config = small_config(tmp_path, "id")
    other = small_config(tmp_path, "id", trainer=changes)
    roles = roles_in(config)
    assert are_one_run(config, other, roles) == are_one_run(other, config, roles) == expected
    assert set(cost_differences(other, config, roles)) == {
        f"trainer.{key}={json.dumps(value)}" for key, value in changes.items()
    }
    decides = small_config(tmp_path, "id", trainer={**changes, "max_epochs": 3})
    assert not are_one_run(config, decides, roles)
    assert not are_one_run(config, small_config(tmp_path / "elsewhere", "id"), roles)
    for change in ({"name": "other"}, {"seed": 2}):
        assert not are_one_run(config, small_config(tmp_path, "id", **change), roles)


@pytest.mark.parametrize(
    ("strategy", "changes", "decide"),
    [
        ("id", {}, False),
        ("id", {"user_encoder": {"dropout": 0.1}}, True),
        ("id", {"trainer": {"negatives": "local"}}, True),
        ("full", {}, True),  # BERT's own dropout
        ("full", {"towers": without_dropout()}, False),
        ("frozen", {}, False),
        ("iisan", {}, False),
        ("lora", {"towers": without_dropout()}, False),
        ("lora", {"towers": without_dropout(), "strategy": {"dropout": 0.5}}, True),
    ],
)
def test_the_number_of_processes_decides_where_each_draws_for_itself(
    tmp_path: Path, strategy: str, changes: dict[str, Any], decide: bool
) -> None:
    config = small_config(tmp_path, strategy, **{"user_encoder": {"dropout": 0.0}, **changes})
    assert processes_decide(settings_from_config(config)) == decide


def test_a_role_is_said_where_the_key_is_declared(tmp_path: Path) -> None:
    roles = roles_in(small_config(tmp_path, "iisan"))
    assert roles["trainer.num_workers"] == roles["hidden_states.placement"] == Role.COST
    assert roles["runs_dir"] == roles["logger"] == roles["towers.text.checkpoint"] == roles["reuse"] == Role.PLACE
    assert "strategy.bottleneck" not in roles
    assert "seed" not in roles


def test_a_group_of_keys_is_of_the_role_of_the_whole(tmp_path: Path) -> None:
    config = small_config(tmp_path, "id", logger={"csv": False, "wandb": "offline"})
    roles = roles_in(config)
    assert deciding_config(config, roles) == deciding_config(small_config(tmp_path, "id"), roles)
    assert "logger" not in deciding_config(config, roles)
    conditions = cost_conditions(small_config(tmp_path, "id", trainer={"compile": True}), roles)
    assert conditions["trainer.compile"] is True
    assert "seed" not in conditions


def test_towers_are_a_mapping_of_those_there_are(tmp_path: Path) -> None:
    config = small_config(tmp_path, "iisan", towers={"image": None})
    towers = deciding_config(config, roles_in(config))["towers"]
    assert set(towers) == {"text"}
