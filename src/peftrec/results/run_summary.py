"""What is useful of a finished run's record, as plain values that stay as they are while the record's schema moves."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from peftrec.results.comparison import compare
from peftrec.results.record import Record
from peftrec.results.runs import Run
from peftrec.results.tpme import QUANTITIES


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a finished run reached, what that cost, and how it was made.

    Quality is a fraction (0.06, not 6.0), sizes are bytes, times are seconds; what was not measured is None.
    """

    run_id: str
    """Name of the run's folder: strategy and hash."""
    experiment: str
    """The `name=` that it was trained under."""
    strategy: str
    seed: int
    test: Mapping[str, float]
    """Metric (`hr@10`, `ndcg@10`, `mrr@10`) to its mean over the test users."""
    validation: Mapping[str, float]
    """The same of the validation users, after the chosen epoch."""
    segments: Mapping[str, Mapping[str, float]]
    """Segment of the test users (`warm`, `cold`, `head`, `tail`, ...) to its metrics and its `num_users`."""
    baselines: Mapping[str, Mapping[str, float]]
    """`popularity`, `item_knn` and `random` on the same users and candidates."""
    costs: Mapping[str, float | None]
    """`seconds_per_epoch`, `trainable_parameters`, `peak_memory_bytes`, and the other cost columns of a comparison."""
    epochs: pd.DataFrame
    """Learning curves: `epoch` (the first is 1), `training_loss`, `training_seconds`, and each validation metric as
    `val/hr@10`."""
    chosen_epoch: int | None
    """The epoch whose parameters the run keeps; the first is 1."""
    data: Mapping[str, Any]
    """Counts: `num_users`, `num_items`, `num_candidates`, `num_interactions`, `num_cold_test`, ..."""
    settings: Mapping[str, Any]
    """The whole configuration, nested, as `peftrec train --cfg` prints it."""
    device: str
    versions: Mapping[str, str]
    """Package to version, of the last stretch of training."""

    @classmethod
    def of(cls, record: Record, folder: Path) -> Self:
        """Take what is useful of a successful run. Costs are those of a comparison that holds this run alone."""
        run = Run(record, folder)
        (row,) = compare([run]).strategies
        assert row.cost is not None
        return cls(
            run_id=record.run_id,
            experiment=record.experiment,
            strategy=record.strategy,
            seed=record.seed,
            test=dict(run.evaluation.test),
            validation=dict(run.evaluation.validation),
            segments=deepcopy(run.evaluation.test_segments),
            baselines=deepcopy(run.evaluation.baselines),
            costs={**{name: getattr(row.cost, name) for name in QUANTITIES}, **row.details},
            epochs=_curves(record),
            chosen_epoch=record.chosen_epoch_from_one,
            data={} if record.data is None else record.data.model_dump(),
            settings=deepcopy(record.config),
            device=record.latest.devices,
            versions=dict(record.latest.versions),
        )


def _curves(record: Record) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": epoch.epoch + 1,
            "training_loss": epoch.training_loss,
            "training_seconds": epoch.training_seconds,
            **{f"val/{name}": value for name, value in epoch.validation.items()},
        }
        for epoch in record.epochs
    )
