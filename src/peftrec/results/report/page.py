"""One page for a browser without a network: what was measured and what disturbs it, tables, pictures, every run.

All of it can be read without JavaScript. The script sorts, filters, draws and weighs anew from the data in the page.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from peftrec.results.comparison import QUALITY, Comparison
from peftrec.results.configs import flatten, telling_values
from peftrec.results.divisions_table import EXPLAINED
from peftrec.results.report.columns import Column, columns_of, static_grid
from peftrec.results.report.curves import budget_table, curve, curve_names
from peftrec.results.report.drawing import Dot, curves, scatter
from peftrec.results.report.embedding import embedded, policy, script
from peftrec.results.report.grids import Grid, grid_of, template
from peftrec.results.report.lines import Lines, lines_of
from peftrec.results.report.matrix import matrices
from peftrec.results.report.page_data import PageContent, page_data
from peftrec.results.report.run_details import link_to
from peftrec.results.runs import Run
from peftrec.results.tables import MEBIBYTE, readable_segments
from peftrec.results.tested import Tested
from peftrec.results.tested_text import readable_means, readable_pairs, sentences
from peftrec.results.tpme_reference import CostChoices

TEMPLATE = "page.html.j2"
DRAWN = ("tpme", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes")
"""Costs that quality is drawn against where no script draws what a reader chooses."""
IN_BYTES = ("peak_memory_bytes",)
LONG_NOTE = 200
SIZE = Markup("\0" * 9)
"""Stands for the size until that is known; no text from data has such a character on a page."""


def page(
    comparison: Comparison,
    tested: Tested,
    place: Path,
    choices: CostChoices = CostChoices(),  # noqa: B008 - it is frozen
    budget: pd.DataFrame | None = None,
    divisions: pd.DataFrame | None = None,
) -> str:
    """Return the page; `place` is the folder it will lie in, from which records are linked. `divisions` are those of
    users into groups, beside their runs."""
    lines = lines_of(comparison)
    columns = columns_of(lines, tested)
    content = PageContent(lines=lines, columns=columns, choices=choices, budget=budget, place=place)
    code = script()
    text = template(TEMPLATE).render(
        experiments=", ".join(comparison.experiments),
        facts=_facts(comparison),
        notes=[_note(line) for line in comparison.notes],
        protocol=comparison.protocol,
        main=static_grid(lines, [column for column in columns if column.is_shown]),
        details=list(_detail_grids(lines, columns)),
        pictures=list(_pictures(columns, lines)),
        has_tpme=bool(comparison.tpme),
        curves=_curves(lines),
        segments=[grid_of(readable_segments(comparison, metric), title=metric) for metric in QUALITY],
        claims=sentences(tested),
        matrices=matrices(tested),
        means=None if tested.problem else grid_of(readable_means(tested)),
        pairs=grid_of(readable_pairs(tested)) if len(tested.pairs) else None,
        budget=None if budget is None else grid_of(budget_table(budget)),
        divisions=None if divisions is None or divisions.empty else grid_of(divisions),
        about_divisions=EXPLAINED,
        differences=_differences(lines),
        runs=[_run(run, content.place) for run in content.listed],
        data=embedded(page_data(content)),
        policy=policy(code),
        script=Markup(code),
        size=SIZE,
    )
    kilobytes = f"{len(text.encode()) / 1000:.0f} kB"
    return text.replace(SIZE, kilobytes.rjust(len(SIZE)))


def _facts(comparison: Comparison) -> list[str]:
    """Return what the figures are of, in a few words each."""
    record = next(run.record for run in comparison.runs if run.is_success)
    seeds = {run.record.seed for run in comparison.runs if run.is_success}
    facts = [f"{len(comparison.strategies)} rows", f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"]
    if record.data is not None:
        facts += [f"{record.data.num_users:,} users", f"{record.data.num_candidates:,} candidates"]
    return [*facts, record.latest.devices]


def _note(line: str) -> dict[str, str]:
    """Return a note with its head apart where it is long."""
    head, colon, rest = line.partition(": ")
    return {"head": head, "rest": rest} if colon and len(line) > LONG_NOTE else {"head": "", "rest": line}


def _detail_grids(lines: Lines, columns: Sequence[Column]) -> Iterator[Grid]:
    """Yield a table a group of what the main table leaves out, each narrow enough for paper."""
    hidden = [column for column in columns if not column.is_shown]
    for group in dict.fromkeys(column.group for column in hidden):
        yield static_grid(
            lines, [column for column in hidden if column.group == group], title=group, only_strategies=True
        )


def _pictures(columns: Sequence[Column], lines: Lines) -> Iterator[Markup]:
    """Yield quality against each cost that rows have."""
    by_key = {column.key: column for column in columns}
    quality = by_key.get(QUALITY[0])
    if quality is None:
        return
    levels = [(row.strategy, row.quality[QUALITY[0]].mean) for row in lines.comparison.baselines if row.quality]
    for key in DRAWN:
        unit = MEBIBYTE if key in IN_BYTES else 1
        dots = [
            Dot(place, row.strategy, cost.number / unit, value.number, value.interval)
            for place, row in enumerate(lines.rows)
            if row.status == "success" and key in by_key
            for cost, value in [(by_key[key].cells[place], quality.cells[place])]
            if cost.number is not None and value.number is not None
        ]
        if dots:
            title = by_key[key].title + (" (MiB)" if key in IN_BYTES else "")
            yield scatter(dots, title, levels, is_linear=key == "tpme")


def _curves(lines: Lines) -> Markup | None:
    drawn = [
        (parent, f"{lines.rows[parent].strategy}, seed {run.record.seed}", curve(run.record, name))
        for run, parent in zip(lines.runs, lines.parents, strict=True)
        if run.record.epochs
        for name in curve_names(lines.runs)[:1]
    ]
    return curves(drawn, curve_names(lines.runs)[0]) if drawn else None


def _differences(lines: Lines) -> Grid | None:
    """Return the keys in which rows differ, a row a column; null where they differ in none."""
    firsts = {row.strategy: row.runs[0].record for row in lines.rows if row.runs}
    configs = {name: flatten(record.config, record.roles, with_strategy=False) for name, record in firsts.items()}
    told = telling_values(configs)
    keys = sorted({key for values in told.values() for key in values})
    rows = [{"key": key} | {name: values.get(key, "") for name, values in told.items()} for key in keys]
    return grid_of(pd.DataFrame(rows)) if rows else None


def _run(run: Run, place: Path) -> Mapping[str, Any]:
    record = run.record
    return {
        "name": run.name,
        "seed": str(record.seed),
        "status": record.effective_status().replace("_", " "),
        "chosen_epoch": str(record.chosen_epoch_from_one or ""),
        "epochs": str(len(record.epochs) or ""),
        "link": link_to(run, place),
    }
