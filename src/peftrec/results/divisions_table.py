"""Tables of divisions of users into groups, each beside the run that it was made from: quality, and what it costs.

A division is no row of a report's main table: it goes on from a run that is trained already, so that seconds and memory
of one training, which TPME compares, are not what it took.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.costs import Metrics
from peftrec.results.divisions import RESULT_FILE, FoundGroups, GroupFigures, GroupsResult, find_results
from peftrec.results.paired_tests import bootstrap_interval, permutation_p_value
from peftrec.results.ranks import per_user, read_ranks
from peftrec.results.recomputed import differing
from peftrec.results.record import RANKS_FILE, Record, read_record
from peftrec.results.rows import Row
from peftrec.results.runs import Run
from peftrec.results.tables import bytes_text, count_text, markdown_grid

SHOWN = ("hr@10", "ndcg@10")
TESTED = "hr@10"
EXPLAINED = (
    "Each division beside its run: the difference in hr@10 with its 95 % interval over users, and p of the paired "
    "permutation test (one seed of each: neither speaks of other seeds, and p is not corrected for their number). "
    "Parameters and kept bytes: the user encoder once and a part a group; seconds: the run's training, and all groups' "
    "after it; memory: the most of any; item vectors: every item has one a part."
)


def to_markdown(run: Path, asked: Path) -> str:
    """Return the run beside all divisions of its users, and the groups of the one that was asked for. Raises
    RecordError."""
    found = find_results(run, asked)
    own = next(each.result for each in found if each.folder == asked)
    counts = sum(group.test_users for group in own.groups) + own.users_without_group
    notes = [
        f"{counts:,} test users. {EXPLAINED}",
        f"Towers, once: {bytes_text(own.costs.tower_bytes)}.",
        f"Each encoding of the catalogue took {own.costs.encoding_seconds:.3f} s.",
    ]
    if own.users_without_group:
        notes.append(f"{own.users_without_group:,} of them train in no group and are ranked by the run's own weights.")
    rows = pd.DataFrame(_rows(run, read_record(run), found))
    return "\n".join([markdown_grid(rows), f"{' '.join(notes)}\n", markdown_grid(pd.DataFrame(_group_rows(own)))])


def beside_runs(rows: Sequence[Row]) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs of a report's rows that were divided, each before its divisions, and what of them cannot be
    read; both empty where none was."""
    lines: list[dict[str, str]] = []
    unreadable: list[str] = []
    for row in rows:
        for run in row.runs:
            name = row.strategy if len(row.runs) == 1 else f"{row.strategy}, seed {run.record.seed}"
            try:
                if found := find_results(run.folder):
                    lines += [{"strategy": name, **cells} for cells in _rows(run.folder, run.record, found)]
            except RecordError as error:
                unreadable.append(str(error))
    return pd.DataFrame(lines), unreadable


def _rows(run: Path, record: Record, found: Sequence[FoundGroups]) -> Iterator[dict[str, str]]:
    """Yield the run and its divisions. Raises RecordError for one whose figures are not those of its ranks."""
    seconds = sum(epoch.training_seconds for epoch in record.epochs)
    memory = None if record.efficiency is None else record.efficiency.peak_memory_bytes
    costs = found[0].result.costs
    yield {
        **_quality("the run", Run(record, run).evaluation.test),
        "trainable": "" if record.parameters is None else count_text(record.parameters.trainable),
        "training, s": f"{seconds:.1f}",
        "peak memory": bytes_text(memory),
        "kept": bytes_text(costs.shared_bytes + costs.part_bytes),
        "item vectors": bytes_text(costs.vector_bytes),
    }
    for each in found:
        _check_figures(each)
        result, costs = each.result, each.result.costs
        mean, (low, high), p_value = difference(each.folder, run)
        label = " ".join(f"{key}={value}" for key, value in result.config.items())
        trainable = costs.trainable_parameters(len(result.groups))
        yield {
            **_quality(label, result.test),
            f"{TESTED} - the run's": f"{mean:+.4f} ({low:+.4f} to {high:+.4f})",
            "p": f"{p_value:.4f}",
            "trainable": "" if trainable is None else count_text(trainable),
            "training, s": f"{seconds:.1f} + {sum(group.training_seconds for group in result.groups):.1f}",
            "peak memory": bytes_text(_largest([memory, *(group.peak_memory_bytes for group in result.groups)])),
            "kept": bytes_text(costs.kept_bytes),
            "item vectors": f"{costs.parts} x {bytes_text(costs.vector_bytes) or '?'}",
        }


def _check_figures(found: FoundGroups) -> None:
    """Raise RecordError where the ranks of a division give other figures than it says, or it says none."""
    test, ranks = found.result.test, read_ranks(found.folder)
    wrong = [f"test.{metric} is missing" for metric in SHOWN if metric not in test]
    wrong += [f"{each} by {RANKS_FILE} beside it" for each in differing("test", test, ranks)]
    if wrong:
        raise RecordError(
            f"{found.folder / RESULT_FILE}: {wrong[0]}; one of the two files was changed: remove {found.folder} and "
            "give the command again"
        )


def _quality(name: str, test: Metrics) -> dict[str, str]:
    return {
        "groups": name,
        **{metric: f"{test[metric]:.4f}" for metric in SHOWN},
        f"{TESTED} - the run's": "",
        "p": "",
    }


def _largest(found: Sequence[int | None]) -> int | None:
    """Return the largest; None where one is not known."""
    known = [each for each in found if each is not None]
    return max(known) if len(known) == len(found) else None


def difference(folder: Path, run: Path) -> tuple[float, tuple[float, float], float]:
    """Return the mean difference of `hr@10` over users, its interval, and the p-value of the paired permutation test,
    from the ranks in two folders alone. Raises RecordError where their users differ."""
    ours, theirs = (per_user(read_ranks(place), TESTED).sort_index() for place in (folder, run))
    if not ours.index.equals(theirs.index):
        raise RecordError(f"{folder} and {run}: not the same test users; remove {folder} and give the command again")
    differences = ours.to_numpy() - theirs.to_numpy()
    generator = np.random.default_rng(0)
    interval = bootstrap_interval(differences, generator)
    return float(differences.mean()), interval, permutation_p_value(differences, generator)


def _group_rows(result: GroupsResult) -> Sequence[dict[str, str]]:
    return [
        {
            "group": str(number),
            "training users": f"{group.training_users:,}",
            "test users": f"{group.test_users:,}",
            "epoch": f"{group.chosen_epoch + 1} of {group.num_epochs}",
            **{f"{metric} {name}": _figure(of, metric) for metric in SHOWN for name, of in _both(group)},
        }
        for number, group in enumerate(result.groups, start=1)
    ]


def _both(group: GroupFigures) -> list[tuple[str, Metrics]]:
    return [("the run's", group.run), ("the group's", group.test)]


def _figure(metrics: Metrics, metric: str) -> str:
    return f"{metrics[metric]:.4f}" if metrics else ""
