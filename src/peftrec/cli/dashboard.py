"""`peftrec dashboard wandb RUNS_DIR`: a workspace and a report of a folder's runs in Weights & Biases."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.cli.arguments import Arguments, Grammar, read_arguments
from peftrec.errors import SettingsError, UserError, counted, did_you_mean

if TYPE_CHECKING:
    from peftrec.dashboards.content import Compared

HELP = """usage: peftrec dashboard wandb RUNS_DIR [--dry-run] [--log] [entity=NAME] [project=NAME]

Makes a workspace and a report of the runs below RUNS_DIR in Weights & Biases: the table grouped by strategy, quality
against each cost, costs, curves, and the trials of a tuning. The runs themselves are those that were logged and sent
before (logger=wandb, `wandb sync`); nothing here needs a run to be trained again.

  --dry-run      write what would be sent to RUNS_DIR/dashboard/ instead; needs no login and no network
  --log          write every run, trials too, as an offline run from its record first, with its TPME and its place in
                 the table, and the report's tables and figures as an artifact; `wandb sync` sends them
  entity=NAME    user or team that owns the project; else the variable WANDB_ENTITY, or the one that you log in as
  project=NAME   else what the runs were logged with (logger.wandb_project)

examples:
  peftrec train -m name=first strategy=frozen_cached,iisan_cached trainer.max_epochs=2 measure=never logger=wandb
  peftrec dashboard wandb runs/first --dry-run
  peftrec dashboard wandb runs/first --log --dry-run"""
KINDS = ("wandb",)
GRAMMAR = Grammar(
    verb="dashboard",
    help=HELP,
    flags=frozenset({"--dry-run", "--log"}),
    actions=KINDS,
    keys=("entity", "project"),
    extras={"dashboard": "dashboard wandb"},
    leaves_others=True,
    needs_words=True,
)
EXTRA = "dashboard"
FOLDER = "dashboard"
UNKNOWN_ENTITY = "ENTITY"
"""Stands where a dry run knows no owner."""


def main(arguments: list[str]) -> int:
    """Make the dashboard, or write what would be sent."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    folder = _folder(given)
    _require_extra()
    from peftrec.dashboards.content import compared

    found = compared(folder)
    project = given.own.get("project") or _project_of(found)
    is_dry = "--dry-run" in given.flags
    if not is_dry:
        _check_login(project)
    if "--log" in given.flags:
        _log(folder, found, project)
    _warn_of_missing(found)
    entity = given.own.get("entity") or os.environ.get("WANDB_ENTITY")
    if is_dry:
        _write(folder, found, entity=entity or UNKNOWN_ENTITY, project=project)
    else:
        _save(found, entity=entity, project=project)
    return 0


def _folder(given: Arguments) -> Path:
    """Return the folder that is named behind the kind of dashboard."""
    kind, *others = given.others
    if kind not in KINDS:
        raise UserError(f"{kind}: no dashboard that peftrec makes; {did_you_mean(kind, KINDS)}")
    for word in others:
        if "=" in word and not Path(word).exists():
            hint = did_you_mean(word.partition("=")[0], GRAMMAR.keys, otherwise="see peftrec dashboard --help")
            raise SettingsError(f"{word}: unknown to peftrec dashboard; {hint}")
    if len(others) != 1:
        raise UserError(f"expected one RUNS_DIR, got {' '.join(others) or 'none'}: peftrec dashboard {kind} RUNS_DIR")
    return Path(others[0])


def _require_extra() -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise UserError(f'wandb-workspaces is not installed; pip install "peftrec[{EXTRA}]"') from error


def _project_of(found: "Compared") -> str:
    from peftrec.dashboards.wandb_logging import logger_of

    return logger_of(found.comparison.runs[-1].record).wandb_project


def _check_login(project: str) -> None:
    from peftrec.settings.run import LoggerSettings
    from peftrec.trackers.wandb_login import check_login

    check_login(
        LoggerSettings(wandb="online", wandb_project=project),
        verifies=True,
        asked="peftrec dashboard wandb",
        otherwise="add --dry-run, which sends nothing",
    )


def _warn_of_missing(found: "Compared") -> None:
    """Say that W&B cannot show what it never got."""
    from peftrec.dashboards.wandb_logging import never_logged

    if number := never_logged(found):
        every = counted(len(found.comparison.runs) + len(found.trials), "run")
        print(
            f"warning: of {every}, {number:,} never went to W&B, which cannot show them; add --log, which logs all "
            "from their records",
            file=sys.stderr,
        )


def _log(folder: Path, found: "Compared", project: str) -> None:
    from peftrec.dashboards.wandb_logging import log_offline, sync_command
    from peftrec.results.report.report import write_report
    from peftrec.trackers.tracker import explain
    from peftrec.trackers.wandb_run import failures

    write_report(folder)
    try:
        number = log_offline(folder, found, project)
    except failures() as error:
        raise UserError(
            f"{folder}: W&B wrote not all offline runs: {explain(error)}; give the command again"
        ) from error
    print(f"{number} runs and the report's files, offline; send them:\n  {sync_command(folder)}")


def _write(folder: Path, found: "Compared", *, entity: str, project: str) -> None:
    from peftrec.dashboards.content import content_of
    from peftrec.dashboards.wandb_specification import masked, report_specification, workspace_specification
    from peftrec.dashboards.wandb_views import build_report, build_workspace
    from peftrec.files import write_atomically

    content = content_of(found)
    specifications = {
        "workspace.json": workspace_specification(build_workspace(content, entity=entity, project=project)),
        "report.json": report_specification(build_report(content, entity=entity, project=project)),
    }
    for name, specification in specifications.items():
        text = json.dumps(masked(specification), indent=2, ensure_ascii=False)
        write_atomically(folder / FOLDER / name, f"{text}\n".encode())
    owner = f"{entity}/{project}"
    print(f"nothing was sent; what would be, to {owner}: {folder / FOLDER}\n  {', '.join(specifications)}")


def _save(found: "Compared", *, entity: str | None, project: str) -> None:
    from peftrec.dashboards.content import content_of
    from peftrec.dashboards.wandb_specification import default_entity, save
    from peftrec.dashboards.wandb_views import build_report, build_workspace

    content, owner = content_of(found), entity or default_entity()
    for what, view in (
        ("report", build_report(content, entity=owner, project=project)),
        ("workspace", build_workspace(content, entity=owner, project=project)),
    ):
        print(f"{what}: {save(view)}")
