"""Which configurations lead to one run's folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from peftrec.code.fingerprint import SHOW_AND_START
from peftrec.code.reach import reached
from peftrec.code.user_code import sources
from peftrec.config.roles import Role, roles_of
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import settings_from_config
from peftrec.settings.run_identity import (
    cost_conditions,
    cost_differences,
    deciding_config,
    part_modules,
    processes_decide,
    run_code,
    store_code,
)
from small_runs import small_config


def without_dropout() -> dict[str, Any]:
    towers: dict[str, Any] = small_config(Path(), "full")["towers"]
    for tower in towers.values():
        tower["architecture"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return towers


def roles_in(config: dict[str, Any]) -> dict[str, Role]:
    return roles_of(settings_from_config(config))


@pytest.mark.parametrize("changes", [{}, {"compile": True, "num_workers": 3, "strategy": "ddp"}, {"devices": 2}])
def test_costs_in_which_two_runs_differ_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = small_config(tmp_path, "id")
    other = small_config(tmp_path, "id", trainer=changes)
    assert set(cost_differences(other, config, roles_in(config))) == {
        f"trainer.{key}={json.dumps(value)}" for key, value in changes.items()
    }


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


READING = tuple(
    f"peftrec.{name}"
    for name in (
        *("training.building.reading", "data.feature_screening"),
        *("data.readers.base", "data.readers.screening", "data.tables.", "data.images"),
    )
)
"""What reads data of other kinds than the run's. What a run does read is hashed: candidates, windows, targets, content.
"""
KEEPING = {
    f"peftrec.{name}"
    for name in (
        *(f"training.run.{stage}" for stage in ("pipeline", "identity", "beginning", "earlier_runs", "provenance")),
        *("training.run.finished_runs", "training.precision"),
        *(f"training.run.{stage}" for stage in ("run_record", "restored_run", "conditions", "trial_watch")),
        *("training.run.serving_costs", "training.measurement.serving", "training.measurement.item_costs"),
        *("training.measurement.repeated", "training.new_items", "models.peft.merging"),
        "training.building.learnable",
    )
}
"""Stages that find, begin, tell and record a run, and what decides figures in none of them: a trial that is stopped
early says so, data that cannot be learnt from is refused, what `precision: auto` means is in the settings that are
hashed, and serving is measured, merged on a copy, when all figures are known."""


@pytest.mark.parametrize("strategy", ["full", "lora", "iisan_cached", "id"])
def test_all_that_a_run_reaches_by_import_is_in_its_fingerprint(strategy: str, tmp_path: Path) -> None:
    settings = settings_from_config(small_config(tmp_path, strategy))
    found = reached(["peftrec.training.run.pipeline", *part_modules(settings)], sources(), without=SHOW_AND_START)
    code = {name for name, file in found.items() if file.content.strip()}
    missing = code - set(run_code(settings).modules)
    assert {name for name in missing if not name.startswith(READING)} == KEEPING


def test_what_decodes_images_is_in_the_fingerprint_of_a_run_that_reads_files() -> None:
    settings = compose_settings(["data=iisan", "data.root=somewhere", "strategy=full", "towers=tiny"])
    modules = run_code(settings).modules
    assert {"peftrec.data.images.decoding", "peftrec.data.images.zip", "peftrec.data.tables.tables"} <= set(modules)


def test_a_store_knows_towers_and_preprocessing_and_nothing_of_what_is_trained_on_it(tmp_path: Path) -> None:
    settings = settings_from_config(small_config(tmp_path, "iisan_cached"))
    modules = set(store_code(settings).modules)
    assert {"peftrec.models.towers.tower", "peftrec.hidden_states.encoding", "peftrec.data.content"} <= modules
    unrelated = ("strategies", "user_encoders", "objectives", "training", "evaluation", "outputs")
    assert not [name for name in modules if name.split(".")[1] in unrelated]
    assert not [name for name in modules if name.startswith(("peftrec.models.side", "peftrec.models.user"))]


def test_what_is_imported_by_a_name_at_run_time_is_a_part_or_a_verb() -> None:
    """No parser sees such imports: parts are named by the settings; verbs, and the names of the Python API, decide no
    figure."""
    package = Path(__file__).parents[2] / "src" / "peftrec"
    dynamic = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(word in path.read_text() for word in ("import_module(", "__import__(", "runpy.", "resolve_name("))
    }
    own = {"config/instantiate.py", "cli/main.py", "cli/completing.py", "jobs/fork_server.py", "profiles/optional.py"}
    assert dynamic == own | {"__init__.py", "testing/entry_point.py"}
