"""A W&B workspace and a W&B report of a comparison, by wandb-workspaces' public classes.

Figures go by their aliases, because W&B promises to sort and filter by names without `@` alone. Runs are found by their
group and job type, which no user's configuration can hold.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import wandb_workspaces.reports.v2 as reports
from wandb_workspaces import expr, workspaces

from peftrec.dashboards.content import BY_STRATEGY, QUALITY, Content, Tuning, figures_to_show
from peftrec.trackers.figures import EPOCH, alias

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

TITLE_LENGTH = 128
_LEADING = alias(f"test/{QUALITY[0]}")
_COLUMNS = (
    *(f"summary:{alias(f'test/{name}')}" for name in QUALITY),
    f"summary:{alias(f'best_val/{QUALITY[0]}')}",
    "summary:efficiency/seconds_per_epoch",
    "summary:efficiency/trainable_parameters",
    "summary:efficiency/peak_memory_bytes",
    "summary:tpme",
    "summary:chosen_epoch",
    "summary:status",
)
_MOST_RUNS = 100


def build_workspace(content: Content, *, entity: str, project: str) -> "Workspace":
    """Return a workspace whose runs stand in groups: one a row of the table."""
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"peftrec: {content.name}"[:TITLE_LENGTH],
        sections=[
            workspaces.Section(name="Quality", panels=_quality_bars(content), is_open=True),
            workspaces.Section(name="Quality against cost", panels=_scatters(content), is_open=True),
            workspaces.Section(name="Costs", panels=_cost_bars(content), is_open=True),
            workspaces.Section(name="Curves", panels=_curves(content), is_open=True),
        ],
        settings=workspaces.WorkspaceSettings(x_axis=EPOCH, max_runs=min(max(10, content.num_rows), _MOST_RUNS)),
        runset_settings=workspaces.RunsetSettings(
            filters=_of_groups(content.groups),
            groupby=[expr.Config(key) for key in content.keys],
            order=[expr.Ordering(expr.Summary(_LEADING), ascending=False)],
            pinned_columns=["run:displayName", *_COLUMNS],
        ),
    )


def build_report(content: Content, *, entity: str, project: str) -> "Report":
    """Return a report: the table, then what its figures look like, then tunings, then the commands."""
    blocks: list[Any] = [
        reports.TableOfContents(),
        reports.H2("The comparison"),
        reports.MarkdownBlock(content.table),
        _grid(content, "Runs by strategy", _quality_bars(content)),
        reports.H2("Quality against cost"),
        reports.MarkdownBlock(_ABOUT_COSTS),
        _grid(content, "Runs by strategy", _scatters(content), hides_runs=True),
        reports.H2("Costs"),
        _grid(content, "Runs by strategy", _cost_bars(content), hides_runs=True),
        reports.H2("Curves"),
        _grid(content, "Runs by strategy", _curves(content), hides_runs=True),
    ]
    if content.tunings:
        blocks += [reports.H2("Tuning"), reports.MarkdownBlock(_ABOUT_TRIALS)]
    for tuning in content.tunings:
        blocks += [reports.H3(tuning.strategy), _trials_grid(content, tuning)]
    blocks += [reports.H2("To train these rows again"), *(reports.CodeBlock(code=each) for each in content.commands)]
    return reports.Report(
        entity=entity,
        project=project,
        title=f"peftrec: {content.name}"[:TITLE_LENGTH],
        description="Made by `peftrec dashboard wandb` from the records of the runs.",
        blocks=blocks,
        width="fluid",
    )


_ABOUT_COSTS = (
    "A row is worth its cost where no other is higher and further left: on the line of the running maximum. TPME is "
    "relative to the rows of the table above; runs have it where they were logged after it was known "
    "(`peftrec dashboard wandb RUNS_DIR --log`)."
)
_ABOUT_TRIALS = (
    "Trials are scored on validation alone. Keys that no trial changed are left out; an axis is logarithmic where its "
    "values are wide apart."
)


def _grid(content: Content, name: str, panels: Sequence[Any], *, hides_runs: bool = False) -> Any:
    runset = reports.Runset(
        name=name,
        filters=_of_groups(content.groups),
        groupby=[f"config.{key}" for key in content.keys],
        order=[reports.OrderBy(reports.SummaryMetric(_LEADING), ascending=False)],
        pinned_columns=["run:displayName", *_COLUMNS],
        visible_columns=["run:displayName", *_COLUMNS],
    )
    return reports.PanelGrid(runsets=[runset], panels=list(panels), hide_run_sets=hides_runs)


def _trials_grid(content: Content, tuning: Tuning) -> Any:
    target = content.monitored
    columns = [
        reports.ParallelCoordinatesPlotColumn(
            metric=reports.Config(each.key), display_name=each.key, log=each.is_logarithmic
        )
        for each in tuning.keys
    ]
    target_column = reports.ParallelCoordinatesPlotColumn(
        metric=reports.SummaryMetric(target), display_name=f"validation {content.monitor}"
    )
    runset = reports.Runset(
        name=f"Trials of {tuning.strategy}",
        filters=f"{_of_groups([tuning.group])} and Metric('JobType') == {tuning.strategy!r}",
        order=[reports.OrderBy(reports.SummaryMetric(target), ascending=False)],
        pinned_columns=["run:displayName", f"summary:{target}"],
    )
    return reports.PanelGrid(
        runsets=[runset],
        panels=[
            reports.ParallelCoordinatesPlot(
                title=f"{tuning.strategy}: {tuning.num_trials} trials",
                columns=[*columns, target_column],
                layout=reports.Layout(w=24, h=10),
            ),
            reports.ParameterImportancePlot(with_respect_to=target, layout=reports.Layout(y=10, w=24, h=8)),
        ],
    )


def _quality_bars(content: Content) -> list[Any]:
    return [
        reports.BarPlot(title=f"Test {name}", metrics=[alias(f"test/{name}")], **_grouped(content)) for name in QUALITY
    ]


def _cost_bars(content: Content) -> list[Any]:
    return [
        reports.BarPlot(title=words, metrics=[figure], **_grouped(content))
        for figure, words in figures_to_show(content).items()
    ]


def _scatters(content: Content) -> list[Any]:
    return [
        reports.ScatterPlot(
            title=f"Test {QUALITY[0]} against {words}",
            x=reports.SummaryMetric(figure),
            y=reports.SummaryMetric(_LEADING),
            log_x=figure != "tpme",
            running_ymax=True,  # the best at this cost or less: the Pareto front
        )
        for figure, words in figures_to_show(content).items()
    ]


def _curves(content: Content) -> list[Any]:
    names = dict.fromkeys([content.monitor, *QUALITY])
    curves = {f"Validation {name}": alias(f"val/{name}") for name in names} | {"Training loss": "train/loss"}
    return [
        reports.LinePlot(title=title, x=EPOCH, y=[name], title_x="epoch", **_grouped(content, range_of="minmax"))
        for title, name in curves.items()
    ]


def _grouped(content: Content, *, range_of: str = "stderr") -> dict[str, Any]:
    """Return how a panel sums up seeds. Where more than the strategy tells rows apart, the run set's groups hold."""
    own = {"groupby": reports.Config(BY_STRATEGY)} if content.keys == (BY_STRATEGY,) else {}
    return {**own, "groupby_aggfunc": "mean", "groupby_rangefunc": range_of}


def _of_groups(groups: Sequence[str]) -> str:
    return f"Metric('Group') in {list(groups)!r}"
