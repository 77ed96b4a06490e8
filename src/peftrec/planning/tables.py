"""Plans as text for a terminal and as JSON; both hold the same figures."""

import io
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from peftrec.outputs.safe_text import each_for_line, for_json, for_line
from peftrec.planning.answer import answer
from peftrec.planning.plan import Plan, PlannedSet
from peftrec.planning.request import size_text
from peftrec.results.tables import bytes_text, count_text, number_text, operations_text
from peftrec.results.tpme import weights_text

_WIDTH = 140
TIME_NOTE = (
    "TPME compares these runs alone, and its t is operations an epoch, not seconds: runs that wait for memory or for "
    "data, as those on stored states do, are slower than their operations say"
)
PEAK_NOTE = (
    "total: weights, gradients, optimizer state and saved activations of the first batch, exactly as a record counts "
    "them. peak: most that is alive at a moment of a step on the largest batch, without what kernels, the allocator "
    "and a CUDA context (about half a gibibyte) take for themselves"
)

Rows = list[dict[str, str]]


def to_json(planned: PlannedSet) -> str:
    """Return all figures in base units."""
    content: dict[str, Any] = {
        "answer": answer(planned.plans, planned.unit),
        "plans": [
            {
                **TypeAdapter(Plan).dump_python(plan, mode="json"),
                "trainable_parameters": plan.trainable_parameters,
                "memory_bytes": plan.memory_bytes,
                "tpme": planned.tpme.get(plan.run),
            }
            for plan in planned.plans
        ],
        "notes": notes(planned),
    }
    return f"{for_json(content)}\n"


def to_text(planned: PlannedSet) -> str:
    """Return the answer, the tables and the notes under them, without colour."""
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, highlight=False, markup=False)
    console.print(f"{for_line(answer(planned.plans, planned.unit))}\n", soft_wrap=True)
    grids = {
        "Parameters": [_parameters(plan) for plan in planned.plans],
        "Memory": [_memory(plan, planned.unit) for plan in planned.plans],
        "Work": [_work(plan) for plan in planned.plans],
        "Hidden-state store": [_store(plan) for plan in planned.plans if plan.store is not None],
        "Set": [_tpme(plan, planned.tpme) for plan in planned.plans if plan.run in planned.tpme],
    }
    for title, rows in grids.items():
        if rows:
            console.print(_grid(title, rows))
    for note in notes(planned):
        console.print(f"- {for_line(note)}", soft_wrap=True)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _grid(title: str, rows: Rows) -> Table:
    grid = Table(title=title, title_justify="left")
    for place, column in enumerate(rows[0]):
        grid.add_column(column, justify="right" if place else "left")
    for row in rows:
        grid.add_row(*each_for_line(row.values()))
    return grid


def _parameters(plan: Plan) -> dict[str, str]:
    cells = {"run": plan.run, "trainable": count_text(plan.trainable_parameters)}
    for origin in ("pretrained", "introduced", "recommender"):
        counts = plan.parameters.get(origin, {"trainable": 0, "frozen": 0})
        cells |= {f"{origin}, {role}": count_text(counts[role]) for role in ("trainable", "frozen")}
    return cells


def _memory(plan: Plan, unit: str) -> dict[str, str]:
    exact = plan.exact_bytes
    cells = {
        "run": plan.run,
        "weights": bytes_text(exact.parameters),
        "gradients": bytes_text(exact.gradients),
        "optimizer": bytes_text(exact.optimizer_state),
        "saved": bytes_text(exact.saved_for_backward),
        "total": bytes_text(exact.total),
        "peak": bytes_text(plan.peak_bytes),
    }
    if (largest := plan.largest_batch) is not None:
        size = "none" if largest.batch_size is None else count_text(largest.batch_size)
        suffix = " (whole epoch)" if largest.is_whole_epoch else ""
        cells[f"largest batch in {size_text(largest.memory_bytes, unit)}"] = size + suffix
    return cells


def _work(plan: Plan) -> dict[str, str]:
    batches = plan.batches
    cells = {
        "run": plan.run,
        "batch": count_text(plan.batch_size),
        "steps an epoch": count_text(batches.num_steps),
        "items a batch": count_text(batches.mean.num_items),
        "at most": count_text(batches.largest.num_items),
        "negatives a positive": f"{batches.negatives_per_positive:,.1f}",
        "operations a step": operations_text(plan.step_operations),
        "an epoch": operations_text(plan.epoch_operations),
    }
    if plan.seconds_per_epoch is not None:
        cells["seconds an epoch"] = number_text(plan.seconds_per_epoch)
    return cells


def _store(plan: Plan) -> dict[str, str]:
    assert plan.store is not None
    cells = {
        "run": plan.run,
        "states an item": ", ".join(f"{name} {number}" for name, number in plan.store.states.items()),
        "size": bytes_text(plan.store.num_bytes),
        "towers in memory": bytes_text(plan.store.resident_bytes),
        "operations to build": operations_text(plan.store.build_operations),
        "saved a step": operations_text(plan.store.saved_operations),
    }
    if plan.store.build_seconds is not None:
        cells["seconds to build"] = number_text(plan.store.build_seconds)
    return cells


def _tpme(plan: Plan, values: Mapping[str, float]) -> dict[str, str]:
    return {
        "run": plan.run,
        "t: operations an epoch": operations_text(plan.epoch_operations),
        "p: trainable": count_text(plan.trainable_parameters),
        "m: memory": bytes_text(plan.memory_bytes),
        "TPME": f"{values[plan.run]:.4f}",
    }


def notes(planned: PlannedSet) -> list[str]:
    """Return what a reader must know to read the figures."""
    found = [*dict.fromkeys(plan.data for plan in planned.plans), PEAK_NOTE]
    found += dict.fromkeys(caveat for plan in planned.plans for caveat in plan.caveats)
    if planned.tpme:
        found.append(f"{TIME_NOTE}. Weights: {weights_text()}")
    if planned.tpme_problem is not None and len(planned.plans) > 1:
        found.append(f"no TPME: {planned.tpme_problem}")
    return found
