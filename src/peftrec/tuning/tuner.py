"""The tuner: asks the studies for trials in turns, has them run as jobs, answers those that wait, tells how each
ended."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from peftrec.errors import UserError
from peftrec.jobs.isolation import Job, JobOutcome, JobRunner
from peftrec.results.record import OVER, RECORD_FILE, Record, read_record
from peftrec.trackers.figures import TrialName
from peftrec.training.run.trial_watch import TrialOrder, answer_file, give_answer, read_progress
from peftrec.tuning.candidates import Candidate
from peftrec.tuning.halving import goes_on, rungs_of
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.study import State, StrategyStudy

if TYPE_CHECKING:
    from optuna import Trial

RUNNING = "running"
_LOOK_SECONDS = 0.05
_SECONDS_TO_DIE = 30.0
"""How long the trial of a killed tuner may take to notice."""
_MOST_STARTS = 2
"""A trial whose process was killed, and not this one, is started again once: it goes on from its last epoch."""

Submit = Callable[[str, Job], "Future[JobOutcome]"]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A strategy, or a combination of methods, with its trials."""

    candidate: Candidate
    study: StrategyStudy
    job: Job
    """Of the defaults; a trial's differs in its configuration."""

    @property
    def rungs(self) -> tuple[int, ...]:
        return rungs_of(self.candidate.settings.trainer.max_epochs)


@dataclass(kw_only=True)
class _Running:
    tuned: Tuned
    trial: "Trial"
    folder: Path
    order: TrialOrder
    future: "Future[JobOutcome]"
    starts: int = 1
    answered: set[int] = field(default_factory=set)


class Tuner:
    """Runs the trials that a budget leaves room for."""

    def __init__(
        self, tuned: Sequence[Tuned], settings: TuneSettings, folder: Path, *, on_told: Callable[[], None]
    ) -> None:
        self.tuned = tuned
        self.settings = settings
        self.folder = folder
        self.on_told = on_told
        self.running: list[_Running] = []
        self._submitted = 0
        self._until = None if settings.hours is None else time.monotonic() + settings.hours * 3600

    def run(self, runner: JobRunner) -> bool:
        """Run trials until the budget is used; False where the cap on hours came first."""
        with runner.submitting() as submit:
            waiting = [(tuned, trial) for tuned in self.tuned for trial in tuned.study.running()]
            while True:
                while len(self.running) < runner.slots and (found := self._next(waiting)) is not None:
                    self._start(*found, submit)
                if not self.running:
                    break
                wait([each.future for each in self.running], timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
                for each in list(self.running):
                    self._look(each, submit)
        if (meeting := self.folder / RUNNING).exists() and not any(meeting.iterdir()):
            meeting.rmdir()
        return not any(self._has_room(tuned) for tuned in self.tuned)

    def _next(self, waiting: "list[tuple[Tuned, Trial]]") -> "tuple[Tuned, Trial] | None":
        """Return a trial that had begun before, or else the next one of the combination that has had least."""
        if waiting:
            return waiting.pop(0)
        if self._until is not None and time.monotonic() > self._until:
            return None
        with_room = [tuned for tuned in self.tuned if self._has_room(tuned)]
        if not with_room:
            return None
        least = min(with_room, key=self._used)
        return least, least.study.ask()

    def _used(self, tuned: Tuned) -> float:
        if self.settings.budget.trials is not None:
            return tuned.study.begun()
        return sum(result.seconds for result in tuned.study.results())

    def _has_room(self, tuned: Tuned) -> bool:
        """Say whether another trial may begin. Of a budget of seconds, trials that run have a share nobody knows: one
        combination has one at a time."""
        budget = self.settings.budget
        if budget.trials is not None:
            return tuned.study.begun() < budget.trials
        assert budget.seconds is not None
        is_running = any(each.tuned is tuned for each in self.running)
        return not is_running and self._used(tuned) < budget.seconds

    def _start(self, tuned: Tuned, trial: "Trial", submit: Submit) -> None:
        name = f"{tuned.candidate.combination.file_name}-{trial.number}"
        folder = self.folder / RUNNING / name
        folder.mkdir(parents=True, exist_ok=True)
        _wait_for_former(folder)
        may_stop = tuned.study.stops_early and tuned.study.role(trial.number) == "drawn"
        order = TrialOrder(
            folder=str(folder),
            name=TrialName(number=trial.number, origin=tuned.study.origin(trial.number), method=tuned.candidate.label),
            rungs=tuned.rungs if may_stop else (),
        )
        future = submit(self._next_name(), _job_of(tuned, trial, order))
        self.running.append(_Running(tuned=tuned, trial=trial, folder=folder, order=order, future=future))

    def _next_name(self) -> str:
        self._submitted += 1
        return str(self._submitted)

    def _look(self, each: _Running, submit: Submit) -> None:
        """Answer a trial that waits, and tell one that has ended."""
        if not each.future.done():
            self._answer(each)
            return
        outcome = each.future.result()
        if outcome.was_killed and each.starts < _MOST_STARTS:
            each.starts += 1
            each.future = submit(self._next_name(), _job_of(each.tuned, each.trial, each.order))
            return
        self.running.remove(each)
        if outcome.status != "interrupted":  # such a trial goes on when the command is given again
            _tell(each, outcome)
            shutil.rmtree(each.folder)
            self.on_told()

    def _answer(self, each: _Running) -> None:
        progress = read_progress(each.folder) if each.order.rungs else None
        if progress is None:
            return
        for rung in each.order.rungs:
            if rung <= len(progress.values) and not answer_file(each.folder, rung).exists():
                others = [
                    result.epoch_values
                    for result in each.tuned.study.results()
                    if result.number < each.trial.number and result.state != "running"
                ]
                give_answer(each.folder, rung, goes_on=goes_on(progress.values, others, rung))


def _job_of(tuned: Tuned, trial: "Trial", order: TrialOrder) -> Job:
    from peftrec.settings.run import settings_to_config

    changes = tuned.study.changes_of(trial)
    label = f"{tuned.candidate.label} trial {trial.number}"
    config = settings_to_config(tuned.candidate.changed(changes))
    return tuned.job.model_copy(update={"label": label, "config": config, "trial": order})


def _tell(each: _Running, outcome: JobOutcome) -> None:
    study, number = each.tuned.study, each.trial.number
    if outcome.status not in OVER or outcome.run_directory is None:
        study.tell(number, state="failed", value=None, result={"error": f"{outcome.status}: {outcome.error}"})
        print(f"{each.tuned.candidate.label} trial {number}: {outcome.status}: {outcome.error}", file=sys.stderr)
        return
    record = read_record(Path(outcome.run_directory))
    monitor = each.tuned.candidate.settings.evaluation.monitor
    values = [epoch.validation[monitor] for epoch in record.epochs]
    state: State = "complete" if outcome.status == "success" else "pruned"
    study.tell(number, state=state, value=max(values), result=_result_of(record, values, outcome.run_directory))
    _print(each, max(values), state)


def _result_of(record: Record, values: list[float], run_directory: str) -> dict[str, JsonValue]:
    return {
        "value": max(values),
        "epoch_values": list(values),
        "seconds": sum(epoch.training_seconds for epoch in record.epochs),
        "chosen_epoch": record.chosen_epoch,
        "run_directory": run_directory,
        "code_hash": record.code_hash,
        "comparison_hash": record.comparison_hash,
    }


def _print(each: _Running, value: float, state: State) -> None:
    study = each.tuned.study
    best = study.best()
    best_text = f"; best so far {best.value:.4f} (trial {best.number})" if best is not None else ""
    print(
        f"{each.tuned.candidate.label} trial {each.trial.number} ({study.origin(each.trial.number)}): "
        f"{'stopped at' if state == 'pruned' else 'validation'} {value:.4f}{best_text}",
        file=sys.stderr,
    )


def _wait_for_former(folder: Path) -> None:
    """Wait until the process of a trial whose tuner was killed has noticed. Raises UserError where it does not."""
    progress = read_progress(folder)
    if progress is None or not (Path(progress.run_directory) / RECORD_FILE).exists():
        return
    until = time.monotonic() + _SECONDS_TO_DIE
    while read_record(Path(progress.run_directory)).effective_status() == "running":
        if time.monotonic() > until:
            raise UserError(f"{progress.run_directory}: another process trains this trial; end it, then go on")
        time.sleep(_LOOK_SECONDS)
