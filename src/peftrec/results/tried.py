"""Settings of one strategy that were tried: which of them validation chose.

Rows of a strategy that differ in numbers alone (rates, ranks, widths, batch sizes) are tries at one method, and whoever
takes the best of them by its test figures reports what luck on the test set was worth. What differs in kind (a user
encoder, which layers are read) is compared, and not chosen among.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peftrec.errors import RecordError
from peftrec.results.configs import is_number
from peftrec.results.labels import tell_apart
from peftrec.results.runs import Run

DEFAULT = "hr@10"
"""The monitor of records whose configuration does not say it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One method, the row of it that validation prefers, and the others."""

    monitor: str
    chosen: str
    others: tuple[str, ...]


def choose_tried(labelled: Mapping[str, Sequence[Run]]) -> list[Choice]:
    """Return a choice for each method of which a comparison has several tries; rows without a figure are none."""
    told = tell_apart([run for group in labelled.values() for run in group])
    methods: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for label, group in labelled.items():
        successes = [run for run in group if run.is_success]
        if successes:
            in_kind = {key: value for key, value in told[group[0].name].items() if not is_number(value)}
            methods[group[0].record.strategy, *sorted(in_kind.items())].append(label)
    return [_choose(labels, labelled) for labels in methods.values() if len(labels) > 1]


def is_chosen(label: str, choices: Sequence[Choice]) -> bool | None:
    """Say whether a row was chosen; None where there was no choice."""
    for choice in choices:
        if label == choice.chosen or label in choice.others:
            return label == choice.chosen
    return None


def choice_notes(choices: Sequence[Choice]) -> list[str]:
    """Return what a reader must know of rows that were not chosen."""
    return [
        f"Of settings that differ in numbers alone, validation {choice.monitor} chose {choice.chosen}; not chosen, and "
        f"so never marked as best: {', '.join(choice.others)}."
        for choice in choices
    ]


def _choose(labels: Sequence[str], labelled: Mapping[str, Sequence[Run]]) -> Choice:
    evaluation = labelled[labels[0]][0].record.config.get("evaluation")
    monitor = str(evaluation["monitor"]) if isinstance(evaluation, dict) and "monitor" in evaluation else DEFAULT
    figures = {
        label: statistics.fmean(_validation(run, monitor) for run in labelled[label] if run.is_success)
        for label in labels
    }
    chosen = max(labels, key=lambda label: figures[label])
    return Choice(monitor=monitor, chosen=chosen, others=tuple(label for label in labels if label != chosen))


def _validation(run: Run, monitor: str) -> float:
    if monitor not in run.evaluation.validation:
        raise RecordError(f"{run.folder}: the record holds no validation {monitor}, by which settings are chosen")
    return run.evaluation.validation[monitor]
