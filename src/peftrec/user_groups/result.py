"""What groups of users leave beside a run: one file of figures, and a table of them beside the run's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import JsonValue, ValidationError

from peftrec.errors import RecordError
from peftrec.results.bounds import Bytes, Count, Seconds
from peftrec.results.costs import Metrics
from peftrec.results.paired_tests import bootstrap_interval, permutation_p_value
from peftrec.results.ranks import per_user, read_ranks
from peftrec.results.record_part import RecordPart
from peftrec.results.tables import bytes_text, markdown_grid

RESULT_FILE = "groups.json"
SHOWN = ("hr@10", "ndcg@10")
TESTED = "hr@10"


class GroupFigures(RecordPart):
    """One group."""

    training_users: Count
    training_windows: Count
    test_users: Count
    chosen_epoch: Count
    """The first is 0."""
    num_epochs: Count
    training_seconds: Seconds
    run: Metrics
    """Of its test users, by the run's own weights; empty where it has none."""
    test: Metrics
    """Of the same users, by the group's."""


class GroupsCosts(RecordPart):
    """What serving by groups takes, beside serving the run itself."""

    part_bytes: Bytes
    """Of what was trained for one group."""
    parts: Count
    """That are kept: one a group, and the run's own where test users are in no group. Each encodes the catalogue."""
    shared_bytes: Bytes
    """Of what the run trained and all groups share: the user encoder, above all."""
    tower_bytes: Bytes
    """Of what was pretrained and is not trained: kept once, whoever is served."""
    encoding_seconds: Seconds
    """To encode the catalogue once, the median over groups."""

    @property
    def kept_bytes(self) -> int:
        """Of all trained tensors."""
        return self.shared_bytes + self.parts * self.part_bytes


class GroupsResult(RecordPart):
    """A finished division of a run's users."""

    config: dict[str, JsonValue]
    """Settings without the run's place."""
    run_id: str
    question_hash: str
    """Of run and settings; results that share it differ in their code."""
    modules: dict[str, str]
    """Module to the hash of what it does, for the code that answered."""
    packages: dict[str, str]
    """Package to version, without the local part."""
    finished_at: str
    """In UTC."""
    device: str
    trained: list[str]
    """Names of the tensors that each group has for itself."""
    groups: list[GroupFigures]
    run: Metrics
    """Of all test users, by the run's own weights."""
    test: Metrics
    """Of the same users, each by the weights of the group."""
    users_without_group: Count
    """Test users who do not train, and whom the run's own weights rank."""
    costs: GroupsCosts


@dataclass(frozen=True, kw_only=True)
class FoundGroups:
    """A result where it lies, with the ranks of each test user beside it."""

    folder: Path
    result: GroupsResult


def read_result(folder: Path) -> GroupsResult:
    """Read a finished division. Raises RecordError."""
    file = folder / RESULT_FILE
    try:
        return GroupsResult.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RecordError(
            f"{file}: {key or 'the file'}: {first['msg']}; no result of this version: remove {folder} and give the "
            "command again"
        ) from error


def find_results(asked: Path) -> list[FoundGroups]:
    """Return the finished divisions of a run, fewest groups first, of which one is asked for; of each other question
    what the latest code answered."""
    found = [
        FoundGroups(folder=file.parent, result=read_result(file.parent))
        for file in asked.parent.glob(f"*/{RESULT_FILE}")
    ]
    latest: dict[str, FoundGroups] = {}
    for each in sorted(found, key=lambda each: (each.folder == asked, each.result.finished_at)):
        latest[each.result.question_hash] = each
    return sorted(latest.values(), key=lambda each: (len(each.result.groups), each.folder.name))


def to_markdown(run: Path, asked: Path) -> str:
    """Return the run beside all divisions of its users, and the groups of the one that was asked for."""
    found = find_results(asked)
    own = next(each.result for each in found if each.folder == asked)
    rows = [_run_row(own), *(_row(each, run) for each in found)]
    counts = sum(group.test_users for group in own.groups) + own.users_without_group
    notes = [
        f"{counts:,} test users, paired: in brackets the 95 % interval over users.",
        f"Towers, once: {bytes_text(own.costs.tower_bytes)}.",
        f"Each encoding of the catalogue took {own.costs.encoding_seconds:.3f} s.",
    ]
    if own.users_without_group:
        notes.append(f"{own.users_without_group:,} of them train in no group and are ranked by the run's own weights.")
    return "\n".join(
        [markdown_grid(pd.DataFrame(rows)), f"{' '.join(notes)}\n", markdown_grid(pd.DataFrame(_group_rows(own)))]
    )


def _run_row(result: GroupsResult) -> dict[str, str]:
    costs = result.costs
    return _cells("the run", result.run, costs.shared_bytes + costs.part_bytes, 1)


def _row(found: FoundGroups, run: Path) -> dict[str, str]:
    result, costs = found.result, found.result.costs
    label = " ".join(f"{key}={value}" for key, value in result.config.items())
    cells = _cells(label, result.test, costs.kept_bytes, costs.parts)
    mean, (low, high), p_value = difference(found.folder, run)
    return {**cells, f"{TESTED} - the run's": f"{mean:+.4f} ({low:+.4f} to {high:+.4f})", "p": f"{p_value:.4f}"}


def _cells(name: str, test: Metrics, kept_bytes: int, encodings: int) -> dict[str, str]:
    return {
        "groups": name,
        **{metric: f"{test[metric]:.4f}" for metric in SHOWN},
        f"{TESTED} - the run's": "",
        "p": "",
        "kept": bytes_text(kept_bytes),
        "catalogue encodings": str(encodings),
    }


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
