"""What every tracker is told of a run, taken from its record: the same names and values wherever they are shown.

A name that holds an `@` is given twice, the second time without: MLflow refuses it, and W&B promises to sort and filter
by names of letters, digits and underscores alone. `test/hr@10` is also `test_hr_at_10`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftrec.results.costs import Epoch
from peftrec.results.record import Record

Figure = float | int | str
QUALITY = ("hr@10", "ndcg@10")
"""Metrics of the baselines: those of the table."""
EPOCH = "epoch"
"""The axis of all curves; the first epoch is 1."""
_PLAIN = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a run's row has only beside others: it is of the whole comparison, and of all seeds of the row."""

    row: str
    """Name of the row in the report's table."""
    tpme: float | None
    tpme_low: float | None
    """Lowest over the weights of the sensitivity band."""
    tpme_high: float | None
    pscp: float | None
    is_on_front: bool | None
    """None where a cost is missing."""


def alias(name: str) -> str:
    """Return a name of letters, digits and underscores: `test_hr_at_10` for `test/hr@10`."""
    return _PLAIN.sub("_", name.replace("@", "_at_"))


def with_aliases(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures, and once more those whose name holds an `@`."""
    return {**figures, **{alias(name): value for name, value in figures.items() if "@" in name}}


def epoch_number(epoch: Epoch) -> int:
    """Return an epoch as people count them, which is every tracker's step."""
    return epoch.epoch + 1


def epoch_figures(epoch: Epoch) -> dict[str, float]:
    """Return what an epoch adds to the curves: loss, validation, seconds (of training alone)."""
    figures = {
        EPOCH: epoch_number(epoch),
        "train/loss": epoch.training_loss,
        "train/seconds": epoch.training_seconds,
        "train/data_wait_seconds": epoch.data_wait_seconds,
        **{f"val/{name}": value for name, value in epoch.validation.items()},
    }
    return with_aliases({name: value for name, value in figures.items() if value is not None})


def final_figures(record: Record, standing: Standing | None = None) -> dict[str, Figure]:
    """Return what a run ended with; what it does not have is left out.

    `best_val/` is validation in the chosen epoch, `baseline/` what needs no training, on the same users and candidates.
    """
    figures: dict[str, Any] = {
        "status": record.status,
        "epochs": len(record.epochs),
        "chosen_epoch": record.chosen_epoch_from_one,
        "negatives_per_positive": record.negatives_per_positive,
        "checkpoint_bytes": record.checkpoint_bytes,
        **{f"best_val/{name}": value for name, value in (record.chosen_validation or {}).items()},
        **_costs(record),
    }
    if record.evaluation is not None:
        figures |= {f"test/{name}": value for name, value in record.evaluation.test.items()}
        for baseline, metrics in record.evaluation.baselines.items():
            figures |= {f"baseline/{baseline}/{name}": metrics.get(name) for name in QUALITY}
    if standing is not None:
        figures |= vars(standing)
    return with_aliases({name: value for name, value in figures.items() if value is not None})


def _costs(record: Record) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if record.parameters is not None:
        figures["efficiency/trainable_parameters"] = record.parameters.trainable
        figures["efficiency/total_parameters"] = record.parameters.total
    if record.efficiency is not None:
        measured = record.efficiency.model_dump(exclude={"exact_bytes", "is_isolated"})
        figures |= {f"efficiency/{name}": value for name, value in measured.items()}
    if record.serving is not None:
        figures |= {
            "serving/kept_bytes": record.serving.kept_bytes,
            "serving/answer_seconds_p50": record.serving.answer_seconds_p50,
            "serving/answer_seconds_p99": record.serving.answer_seconds_p99,
            "serving/catalogue_seconds": record.serving.at_best.catalogue_seconds,
            "serving/new_item_seconds": record.serving.at_best.new_item_seconds,
        }
    return figures


def numbers(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Return those that a curve can show."""
    return {
        name: float(value)
        for name, value in figures.items()
        if not isinstance(value, str) and math.isfinite(float(value))
    }


def origin_of(record: Record) -> dict[str, Any]:
    """Return where a run's figures are from, beside its configuration."""
    latest = record.latest
    return {
        "run_id": record.run_id,
        "experiment": record.experiment,
        "kind": record.kind,
        "question_hash": record.question_hash,
        "code_hash": record.code_hash,
        "comparison_hash": record.comparison_hash,
        "data_hash": record.provenance.data_hash,
        "device": latest.devices,
        "git_commit": latest.git_commit,
        "peftrec": latest.versions.get("peftrec"),
    }


@dataclass(frozen=True, kw_only=True)
class TrialName:
    """Which trial of a tuning a run is."""

    number: int
    origin: str
    """Who stands behind its settings: `defaults`, `random`, `tpe`, ..."""
    method: str | None = None
    """What is tuned, where that is more than the strategy: `id (LiGR)`."""


def group_of(record: Record) -> str:
    """Return what runs are grouped by: the experiment, and trials of its tuning apart."""
    return f"{record.experiment}/trials" if record.kind == "trial" else record.experiment


def name_of(record: Record, trial: TrialName | None = None) -> str:
    """Return a run's name for people."""
    if trial is None:
        return f"{record.strategy} seed={record.seed}"
    return f"{trial.method or record.strategy} trial {trial.number} ({trial.origin})"
