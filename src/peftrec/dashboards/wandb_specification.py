"""What wandb-workspaces would send, and sending it: all calls of its private functions, for the one version that is
pinned in the extra `dashboard`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from peftrec.errors import UserError
from peftrec.trackers.tracker import explain

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

RANDOM_KEYS = ("__id__", "id")
"""Of panels and sets of runs, which the library names at random when they are made."""


def workspace_specification(workspace: "Workspace") -> dict[str, Any]:
    """Return the view that saving a workspace sends, as JSON holds it."""
    model = workspace._to_model()
    return _plain(model.model_dump_json(by_alias=True, exclude_none=True))


def report_specification(report: "Report") -> dict[str, Any]:
    """Return the view that saving a report sends."""
    model = report._to_model()
    return {
        "entityName": model.project.entity_name,
        "projectName": model.project.name,
        "description": model.description,
        "displayName": model.display_name,
        "type": "runs",
        "spec": _plain(model.spec.model_dump_json(by_alias=True, exclude_none=True)),
    }


def workspace_of(specification: Mapping[str, Any]) -> "Workspace":
    """Return the workspace that the library reads from a specification."""
    from wandb_workspaces.workspaces import Workspace, internal

    return Workspace._from_model(internal.View.model_validate(specification))


def report_of(specification: Mapping[str, Any]) -> "Report":
    """Return the report that the library reads from a specification."""
    from wandb_workspaces.reports.v2 import Report, internal

    project = internal.Project(name=specification["projectName"], entity_name=specification["entityName"])
    report = Report._from_model(
        internal.ReportViewspec(
            display_name=specification["displayName"],
            description=specification["description"],
            project=project,
            spec=internal.Spec.model_validate(specification["spec"]),
        )
    )
    report.width = specification["spec"]["width"]  # 0.4.13 does not read it
    return report


def masked(specification: Any) -> Any:
    """Return a specification in which random names are `id-1`, `id-2`, ... in the order in which they stand."""
    names: dict[str, str] = {}

    def visit(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: named(each) if key in RANDOM_KEYS else visit(each) for key, each in value.items()}
        return [visit(each) for each in value] if isinstance(value, list) else value

    def named(value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return visit(value)
        return names.setdefault(value, f"id-{len(names) + 1}")

    return visit(specification)


def _plain(content: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(content)
    return plain


def default_entity() -> str:
    """Return who the user logs in as. Raises UserError where W&B does not say."""
    import wandb

    try:
        found = wandb.Api().default_entity
    except wandb.Error as error:
        raise _unsaved(error) from error
    if not found:
        raise UserError("W&B names no default entity for this login; set entity=NAME")
    return str(found)


def save(view: "Report | Workspace") -> str:
    """Send a view as a new one and return its address. Raises UserError where W&B refuses it."""
    import requests
    import wandb

    try:
        view.save()
        return str(view.url)
    except (wandb.Error, requests.RequestException, ValueError) as error:
        raise _unsaved(error) from error


def _unsaved(error: Exception) -> UserError:
    return UserError(
        f"W&B took no dashboard: {explain(error)}; check entity=NAME and project=NAME, or see what would be sent by "
        "--dry-run"
    )
