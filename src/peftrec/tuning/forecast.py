"""What a tuning will cost, before anything starts: from epochs that were measured of such runs, else from a plan."""

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from peftrec.errors import counted
from peftrec.planning.plan import Plan, plan_set
from peftrec.planning.request import PlanRequest
from peftrec.results.configs import flatten
from peftrec.results.record import Record, read_record
from peftrec.results.runs import record_files
from peftrec.results.tables import bytes_text, number_text
from peftrec.settings.run import settings_to_config
from peftrec.tuning.candidates import Candidate
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.study import Spent

_BEST_BYTES, _LAST_BYTES = 4, 12
"""Of a trainable parameter in the two checkpoints of a run: itself, and with Adam's two moments."""
_HOUR = 3600.0
_OF_SECONDS = ("data", "towers", "user_encoder", "objective", "batch_size", "embedding_dim")


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One combination's share."""

    label: str
    trials: int | None
    """Still to be run; null where the budget is seconds."""
    finals: int
    seconds_per_epoch: float | None
    basis: str
    """Where seconds come from."""
    max_epochs: int
    budget_seconds: float | None
    """Of trials still to be run; null where the budget is trials."""
    final_bytes: int
    running_bytes: int
    store_bytes: int

    @property
    def hours(self) -> float | None:
        """The most that it takes, one job at a time and with training alone; early stopping makes it less."""
        if self.seconds_per_epoch is None:
            return None
        run = self.seconds_per_epoch * self.max_epochs
        trials = self.budget_seconds if self.trials is None else self.trials * run
        assert trials is not None
        return (trials + self.finals * run) / _HOUR


def forecasts(
    candidates: Sequence[Candidate], settings: TuneSettings, spent: Sequence[Spent], request: PlanRequest
) -> list[Forecast]:
    """Return each combination's share; `spent` is what each has had. Raises what planning raises."""
    planned = plan_set({each.label: each.settings for each in candidates}, request)
    records = list(_records(Path(candidates[0].settings.runs_dir)))
    return [
        _forecast(candidate, settings, had, plan, records)
        for candidate, had, plan in zip(candidates, spent, planned.plans, strict=True)
    ]


def _forecast(
    candidate: Candidate, settings: TuneSettings, spent: Spent, plan: Plan, records: Sequence[Record]
) -> Forecast:
    config = settings_to_config(candidate.settings)
    tuned = candidate.space.dimensions
    own = [each for each in records if each.strategy == candidate.strategy and _is_alike(each.config, config, tuned)]
    measured = [epoch.training_seconds for record in own for epoch in record.epochs]
    seconds, basis = plan.seconds_per_epoch, "operations at the given rate"
    if measured:
        places = sorted({record.experiment for record in own})
        seconds, basis = statistics.median(measured), f"{len(measured)} epochs measured in {', '.join(places)}"
    budget = settings.budget
    return Forecast(
        label=candidate.label,
        trials=None if budget.trials is None else max(0, budget.trials - spent.begun) + spent.unfinished,
        finals=len(settings.final_seeds),
        seconds_per_epoch=seconds,
        basis=basis if seconds is not None else "nothing measured yet",
        max_epochs=candidate.settings.trainer.max_epochs,
        budget_seconds=None if budget.seconds is None else max(0.0, budget.seconds - spent.seconds),
        final_bytes=len(settings.final_seeds) * plan.trainable_parameters * (_BEST_BYTES + _LAST_BYTES),
        running_bytes=plan.trainable_parameters * (_BEST_BYTES + _LAST_BYTES),
        store_bytes=0 if plan.store is None else plan.store.num_bytes,
    )


def _is_alike(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue], tuned: Collection[str]) -> bool:
    """Say whether epochs of two configurations take as long: sizes of data, towers and batches decide most. What is
    tuned differs between trials, and counts as alike."""
    return _of_seconds(one, tuned) == _of_seconds(other, tuned)


def _of_seconds(config: Mapping[str, JsonValue], tuned: Collection[str]) -> dict[str, str]:
    flat = flatten({key: config.get(key) for key in _OF_SECONDS})
    return {key: value for key, value in flat.items() if key not in tuned}


def _records(home: Path) -> Iterator[Record]:
    for file in record_files(home):
        yield read_record(file)


def to_text(found: Sequence[Forecast], settings: TuneSettings, slots: int) -> str:
    """Return one line a combination, and the sums."""
    lines = [_line(each) for each in found]
    known = [each.hours for each in found if each.hours is not None]
    final_bytes = sum(each.final_bytes for each in found)
    running = slots * max(each.running_bytes for each in found)
    stores = sum({each.store_bytes for each in found})
    jobs = sum((each.trials or 0) + each.finals for each in found)
    trials = "" if settings.budget.trials is not None else ", and trials until each has its seconds"
    hours = (
        f"{sum(known):.2f} hours at most, one job at a time"
        if len(known) == len(found)
        else ("hours unknown for some: give rate=TFLOPS, or begin with hours=0.1 and ask again")
    )
    return "\n".join(
        [
            *lines,
            f"in all: {jobs} jobs{trials}; {hours}{_of_slots(slots)}",
            f"disk: {bytes_text(final_bytes)} of checkpoints that stay, {bytes_text(running)} while trials run, "
            f"{bytes_text(stores)} of hidden states",
            "",
        ]
    )


def _of_slots(slots: int) -> str:
    return "" if slots == 1 else f"; slots={slots} runs {slots} at a time"


def _line(each: Forecast) -> str:
    trials = f"{each.budget_seconds:g} s of trials" if each.trials is None else counted(each.trials, "trial")
    seconds = each.seconds_per_epoch
    told = "" if seconds is None else f", {number_text(seconds)} s an epoch, up to {each.max_epochs} epochs"
    hours = "" if each.hours is None else f": {each.hours:.2f} hours at most"
    return f"{each.label}: {trials} and {counted(each.finals, 'final run')}{told} ({each.basis}){hours}"
