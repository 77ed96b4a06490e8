"""Tables of divisions of users into groups, each beside the run that it was made from: quality, and what it costs.

A division is no row of a report's main table: it goes on from a run that is trained already, so that seconds and memory
of one training, which TPME compares, are not what it took.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from peftrec.errors import RecordError
from peftrec.outputs.safe_text import for_markdown_sentence
from peftrec.results.costs import Metrics
from peftrec.results.divisions import (
    RESULT_FILE,
    FoundGroups,
    GroupFigures,
    GroupsCosts,
    GroupsResult,
    find_results,
    read_division,
)
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
    """Return the run beside all divisions of its users, and the groups of the one that was asked for. Another that
    cannot be read is left out with a line. Raises RecordError for the one that was asked for."""
    own, record, unreadable = read_division(run, asked), read_record(run), list[str]()
    _division_row(run, record, own)
    found = find_results(run, asked, unreadable=unreadable)
    rows = pd.DataFrame(_rows(run, record, found, unreadable))
    result, costs = own.result, own.result.costs
    counts = sum(group.test_users for group in result.groups) + result.users_without_group
    notes = [
        f"{counts:,} test users. {EXPLAINED}",
        f"Towers, once: {bytes_text(costs.tower_bytes)}.",
        f"Each encoding of the catalogue took {costs.encoding_seconds:.3f} s.",
    ]
    if result.users_without_group:
        notes.append(
            f"{result.users_without_group:,} of them train in no group and are ranked by the run's own weights."
        )
    left_out = "".join(f"- left out: {for_markdown_sentence(line)}\n" for line in unreadable)
    groups = markdown_grid(pd.DataFrame(_group_rows(result)))
    return "\n".join([markdown_grid(rows), *([left_out] if left_out else []), f"{' '.join(notes)}\n", groups])


def beside_runs(rows: Sequence[Row]) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs of a report's rows that were divided, each before its divisions, and a line for each division
    that cannot be read and is left out; both empty where none was."""
    lines: list[dict[str, str]] = []
    unreadable: list[str] = []
    for row in rows:
        for run in row.runs:
            name = row.strategy if len(row.runs) == 1 else f"{row.strategy}, seed {run.record.seed}"
            found = find_results(run.folder, unreadable=unreadable)
            lines += [{"strategy": name, **cells} for cells in _rows(run.folder, run.record, found, unreadable)]
    return pd.DataFrame(lines), unreadable


def _rows(run: Path, record: Record, found: Sequence[FoundGroups], unreadable: list[str]) -> list[dict[str, str]]:
    """Return the run and its divisions; none where no division is left. What is wrong with one whose figures are not
    those of its ranks goes into `unreadable`."""
    divisions = []
    for each in found:
        try:
            divisions.append((each, _division_row(run, record, each)))
        except RecordError as error:
            unreadable.append(str(error))
    if not divisions:
        return []
    return [_run_row(run, record, divisions[0][0].result.costs), *(cells for _, cells in divisions)]


def _run_row(run: Path, record: Record, costs: GroupsCosts) -> dict[str, str]:
    """Return the run itself; `costs` of any of its divisions say what is kept of it."""
    return {
        **_quality("the run", Run(record, run).evaluation.test),
        "trainable": "" if record.parameters is None else count_text(record.parameters.trainable),
        "training, s": f"{_training_seconds(record):.1f}",
        "peak memory": bytes_text(_peak_memory(record)),
        "kept": bytes_text(costs.shared_bytes + costs.part_bytes),
        "item vectors": bytes_text(costs.vector_bytes),
    }


def _division_row(run: Path, record: Record, found: FoundGroups) -> dict[str, str]:
    """Return one division. Raises RecordError where its figures are not those of its ranks."""
    _check_figures(found)
    result, costs = found.result, found.result.costs
    mean, (low, high), p_value = difference(found.folder, run)
    label = " ".join(f"{key}={value}" for key, value in result.config.items())
    trainable = costs.trainable_parameters(len(result.groups))
    memory = [_peak_memory(record), *(group.peak_memory_bytes for group in result.groups)]
    groups_seconds = sum(group.training_seconds for group in result.groups)
    return {
        **_quality(label, result.test),
        f"{TESTED} - the run's": f"{mean:+.4f} ({low:+.4f} to {high:+.4f})",
        "p": f"{p_value:.4f}",
        "trainable": "" if trainable is None else count_text(trainable),
        "training, s": f"{_training_seconds(record):.1f} + {groups_seconds:.1f}",
        "peak memory": bytes_text(_largest(memory)),
        "kept": bytes_text(costs.kept_bytes),
        "item vectors": f"{costs.parts} x {bytes_text(costs.vector_bytes) or '?'}",
    }


def _training_seconds(record: Record) -> float:
    return sum(epoch.training_seconds for epoch in record.epochs)


def _peak_memory(record: Record) -> int | None:
    return None if record.efficiency is None else record.efficiency.peak_memory_bytes


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
