"""Test figures of a run by its targets, all, warm or cold: before and after something was done about cold ones."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from peftrec.evaluation.segments import segment_masks, segment_metrics
from peftrec.results.costs import CountedMetrics
from peftrec.results.tables import markdown_grid
from peftrec.training.run.restored_run import RestoredRun
from peftrec.training.run.scoring import UserRanks

ByTarget = dict[str, CountedMetrics]
"""Metrics and `num_users` for all targets, warm ones and cold ones, and where some repeat an item of the history for
those that are new to their user; a kind without users is left out."""
SEGMENTS = ("all", "new", "warm", "cold")
SHOWN = ("hr@10", "ndcg@10")


def users_by_target(run: RestoredRun) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which test users have targets of which kind."""
    cases = run.split.test
    masks = segment_masks(run.split.train_counts, cases.targets, np.diff(cases.histories.offsets))
    masks["all"] = np.ones(len(cases), dtype=np.bool_)
    masks["new"] = ~cases.is_target_in_history()
    return {name: masks[name] for name in SEGMENTS if name != "new" or not masks["new"].all()}


def metrics_by_target(run: RestoredRun, ranked: UserRanks) -> ByTarget:
    """Return the figures of the test users' ranks."""
    return segment_metrics(ranked.ranks, ranked.is_unreachable, users_by_target(run))


def table_by_target(columns: Mapping[str, ByTarget], others: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return a Markdown table of the same users, a row for each kind of targets; `others` are columns of text."""
    first = next(iter(columns.values()))
    rows = [
        {
            "targets": segment,
            "users": f"{first[segment]['num_users']:,.0f}",
            **{
                f"{metric} {name}": f"{found[segment][metric]:.4f}"
                for metric in SHOWN
                for name, found in columns.items()
            },
            **{name: texts[segment] for name, texts in (others or {}).items()},
        }
        for segment in SEGMENTS
        if segment in first
    ]
    return markdown_grid(pd.DataFrame(rows))
