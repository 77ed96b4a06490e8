"""The specification of a workspace and a report: read back by the library that would send it, and always the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboard_records import write_trials
from made_up_records import STRATEGIES, write_example_records
from peftrec.dashboards.content import Content, compared, content_of
from peftrec.trackers.figures import epoch_figures, final_figures

pytest.importorskip("wandb_workspaces")
from peftrec.dashboards.wandb_specification import (
    masked,
    report_of,
    report_specification,
    workspace_of,
    workspace_specification,
)
from peftrec.dashboards.wandb_views import build_report, build_workspace

OWNER = {"entity": "somebody", "project": "made-up"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = write_example_records(tmp_path_factory.mktemp("runs"), seeds=2, num_users=40)
    write_trials(home, "lora", [{"text": rate} for rate in (1e-5, 1e-4, 1e-3)])
    return home


@pytest.fixture(scope="module")
def content(folder: Path) -> Content:
    return content_of(compared(folder))


@pytest.fixture(scope="module")
def workspace(content: Content) -> dict[str, Any]:
    return workspace_specification(build_workspace(content, **OWNER))


@pytest.fixture(scope="module")
def report(content: Content) -> dict[str, Any]:
    return report_specification(build_report(content, **OWNER))


def panels_in(value: Any) -> list[dict[str, Any]]:
    """Return all panels below a node."""
    if isinstance(value, dict):
        own = [value] if "viewType" in value else []
        return own + [panel for each in value.values() for panel in panels_in(each)]
    return [panel for each in value for panel in panels_in(each)] if isinstance(value, list) else []


def kinds_in(value: Any) -> set[str]:
    return {panel["viewType"] for panel in panels_in(value)}


def test_both_survive_a_round_trip(workspace: dict[str, Any], report: dict[str, Any]) -> None:
    assert masked(workspace_specification(workspace_of(workspace))) == masked(workspace)
    assert masked(report_specification(report_of(report))) == masked(report)


def test_the_same_records_give_the_same_specification(
    folder: Path, workspace: dict[str, Any], report: dict[str, Any]
) -> None:
    again = content_of(compared(folder))
    assert masked(workspace_specification(build_workspace(again, **OWNER))) == masked(workspace)
    assert masked(report_specification(build_report(again, **OWNER))) == masked(report)
    assert "id-1" in json.dumps(masked(report))


def test_the_workspace_groups_runs_by_strategy_and_leaves_trials_out(workspace: dict[str, Any]) -> None:
    (runs,) = workspace["spec"]["section"]["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "strategy_name.value"}]
    (group,) = runs["filters"]["filters"]
    assert (group["key"], group["op"]) == ({"section": "run", "name": "group"}, "IN")
    assert group["value"] == ["made-up-example"]
    assert runs["sort"]["keys"][0]["key"] == {"section": "summary", "name": "test_hr_at_10"}
    assert list(runs["runFeed"]["columnPinned"])[:2] == ["run:displayName", "summary:test_hr_at_10"]
    assert (workspace["entity"], workspace["project"]) == ("somebody", "made-up")


def test_there_are_bars_scatters_and_curves_over_epochs(workspace: dict[str, Any], report: dict[str, Any]) -> None:
    expected = {"Bar Chart", "Scatter Plot", "Run History Line Plot"}
    assert kinds_in(workspace) == expected
    assert kinds_in(report) == {*expected, "Parallel Coordinates Plot", "Parameter Importance"}
    for panel in panels_in([workspace, report]):
        if panel["viewType"] == "Run History Line Plot":
            assert panel["config"]["xAxis"] == "epoch"
            assert (panel["config"]["groupBy"], panel["config"]["groupAgg"]) == ("strategy_name.value", "mean")


def test_every_figure_that_is_drawn_is_one_that_runs_have(
    folder: Path, workspace: dict[str, Any], report: dict[str, Any]
) -> None:
    """No panel stays empty because of a name."""
    record = compared(folder).comparison.runs[0].record
    known = {*final_figures(record), *epoch_figures(record.epochs[0]), "tpme"}
    unmeasured = {"serving/kept_bytes"}  # the made-up records have no serving
    drawn = set()
    for panel in panels_in([workspace, report]):
        config = panel["config"]
        drawn |= {*config.get("metrics", [])}
        axes = [config.get("xAxis"), config.get("yAxis"), *(each["accessor"] for each in config.get("columns", []))]
        drawn |= {axis.removeprefix("summary:") for axis in axes if axis and axis.startswith("summary:")}
    assert {"test_hr_at_10", "val_hr_at_10", "train/loss", "tpme"} <= drawn
    assert drawn - known <= unmeasured
    assert not [name for name in drawn if "@" in name]


def test_trials_have_axes_for_what_they_changed_and_for_what_came_of_it(report: dict[str, Any]) -> None:
    (panel,) = (each for each in panels_in(report) if each["viewType"] == "Parallel Coordinates Plot")
    assert panel["config"]["columns"] == [
        {"accessor": "config:learning_rates.value.text", "displayName": "learning_rates.text", "log": True},
        {"accessor": "summary:best_val_hr_at_10", "displayName": "validation hr@10"},
    ]
    (grid,) = (
        block
        for block in report["spec"]["blocks"]
        if block["type"] == "panel-grid" and "Parallel Coordinates Plot" in kinds_in(block)
    )
    (runs,) = grid["metadata"]["runSets"]
    told = {each["key"]["name"]: each["value"] for each in runs["filters"]["filters"]}
    assert told == {"group": ["made-up-example/trials"], "jobType": "lora"}


def test_the_report_has_the_table_and_the_commands(content: Content, report: dict[str, Any]) -> None:
    blocks = report["spec"]["blocks"]
    assert content.table in [block.get("content") for block in blocks]
    code = [block for block in blocks if block["type"] == "code-block"]
    assert len(code) == len(STRATEGIES)
    assert content.commands[0] in json.dumps(code[0])


def test_names_that_are_text_stay_text(content: Content) -> None:
    """Names of experiments are a folder's; what a strategy is called is a file's."""
    odd = replace(content, tunings=(replace(content.tunings[0], strategy='it\'s "odd"'),))
    specification = report_specification(build_report(odd, **OWNER))
    assert 'it\'s \\"odd\\"' in json.dumps(specification)
