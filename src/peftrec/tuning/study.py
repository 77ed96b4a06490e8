"""The trials of a strategy, or a combination of methods, in the journal: asked, answered, told, and read again."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from peftrec.errors import SettingsError
from peftrec.tuning.combinations import Combination
from peftrec.tuning.drawing import Role, draw, role_of
from peftrec.tuning.optuna_space import distributions, from_optuna, starts_outside_allowed, to_optuna
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.spaces import Choice, Space, Values

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

State = Literal["running", "complete", "pruned", "failed"]
PLAN = "plan"
"""The study's attribute that says what is tuned and how; a journal is gone on with only by the same."""
CHANGES, RESULT = "changes", "result"
_TRIALS_BEFORE_TPE = 5
"""Finished trials after which the estimator begins; Optuna's own ten are half of a small budget."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial as the journal holds it."""

    number: int
    role: Role
    origin: str
    """`defaults`, `published rates`, ... or who drew it: `random`, `tpe`."""
    changes: Values
    """What it changes in the settings that the trials share."""
    state: State
    value: float | None
    """The monitored validation metric of its best epoch; null where it failed or runs."""
    epoch_values: tuple[float, ...]
    seconds: float
    """Of training, without validation."""
    chosen_epoch: int | None
    run_directory: str | None
    code_hash: str | None
    comparison_hash: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What of a budget is spent."""

    begun: int = 0
    """Trials that ended or go on with the same command."""
    unfinished: int = 0
    """Those of them that have not ended."""
    seconds: float = 0.0
    """Of training, by those that ended."""


class StrategyStudy:
    """Trials of one strategy, of one combination of methods, or of a baseline without training."""

    def __init__(
        self,
        storage: "BaseStorage",
        *,
        combination: Combination,
        space: Space,
        starts: Sequence[tuple[str, Values, Values]],
        plan: Mapping[str, JsonValue],
        settings: TuneSettings,
        stops_early: bool = True,
    ) -> None:
        """Open the study of the combination's name, or create it; `starts` are name, changes and values of each tuned
        key. Raises SettingsError where the journal holds it for another `plan`."""
        import optuna

        self.combination = combination
        self.name = name = combination.name
        self.space = space
        self.starts = starts
        self.plan = plan
        self.settings = settings
        self.stops_early = stops_early and settings.pruner == "halving"
        known = {each.study_name for each in storage.get_all_studies()}
        if name in known:
            self.study: Study = optuna.load_study(study_name=name, storage=storage)
        else:
            self.study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        self._distributions = distributions(space, [values for _, _, values in starts])
        self._keep_plan(dict(plan))

    def _keep_plan(self, plan: dict[str, JsonValue]) -> None:
        former = self.study.user_attrs.get(PLAN)  # None too where the process was killed before it had written it
        if former is None:
            self.study.set_user_attr(PLAN, plan)
        elif former != plan:
            differing = [key for key in plan if former.get(key) != plan[key]]
            raise SettingsError(
                f"{self.name}: the trials that are there were drawn for another {', '.join(differing)}; go on with the "
                "former settings, or set name=NAME for a tuning of its own"
            )

    @property
    def label(self) -> str:
        """What people call it, as the rows of a report."""
        return self.combination.label

    def running(self) -> "list[Trial]":
        """Return the trials that had begun when the tuner before this one died, by number. What such a trial tries is
        asked for again: the tuner may have died before the journal held all of it."""
        import optuna

        trials = []
        for found in self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            self._seed_sampler(found.number)
            trial = optuna.Trial(self.study, found._trial_id)
            with starts_outside_allowed():
                for key, distribution in self._distributions.items():
                    trial._suggest(key, distribution)
            trials.append(trial)
        return trials

    def begun(self) -> int:
        """Return how many trials have begun, and so the number of the next."""
        import optuna

        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state != optuna.trial.TrialState.WAITING for trial in trials)

    def spent(self) -> Spent:
        """Return what of its budget is spent."""
        results = self.results()
        unfinished = sum(result.state == "running" for result in results)
        return Spent(begun=len(results), unfinished=unfinished, seconds=sum(result.seconds for result in results))

    def ask(self) -> "Trial":
        """Begin the next trial."""
        number = self.begun()
        values = self._values_of(number)
        self._seed_sampler(number)
        waits = len(self.study.get_trials(deepcopy=False)) > number  # since a tuner was killed
        if values is not None and not waits:
            dimensions = self.space.dimensions
            taken = {
                key: value for key, value in values.items() if isinstance(dimensions[key], Choice) or value is not None
            }
            self.study.enqueue_trial({key: to_optuna(dimensions[key], value) for key, value in taken.items()})
        with starts_outside_allowed():
            trial = self.study.ask(self._distributions)
        assert trial.number == number
        return trial

    def _seed_sampler(self, number: int) -> None:
        """Give the trial a sampler of its own: one that is not seeded anew for each draws otherwise after a stop."""
        from optuna.samplers import TPESampler

        seed = zlib.crc32(f"{self.settings.sampler_seed} {self.name} {number}".encode())
        self.study.sampler = TPESampler(seed=seed, n_startup_trials=_TRIALS_BEFORE_TPE)

    def changes_of(self, trial: "Trial | FrozenTrial") -> Values:
        """Return what a trial changes in the settings: what its number says, or what the sampler has said of it."""
        number = trial.number
        if number < len(self.starts):
            return self.starts[number][1]
        values = self._values_of(number)
        if values is None:
            known = {key: each for key, each in self.space.dimensions.items() if key in trial.params}
            values = {key: from_optuna(each, trial.params[key]) for key, each in known.items()}
        return values

    def values_of(self, number: int) -> Values:
        """Return the value of each tuned key in a trial."""
        if number < len(self.starts):
            return self.starts[number][2]
        (trial,) = (each for each in self.study.get_trials(deepcopy=False) if each.number == number)
        return self.changes_of(trial)

    def role(self, number: int) -> Role:
        """Return what a trial is for."""
        is_alike = self.settings.sampler == "random" and not self.stops_early
        return role_of(number, num_starts=len(self.starts), all_alike=is_alike)

    def origin(self, number: int) -> str:
        """Return who stands behind a trial's settings."""
        if number < len(self.starts):
            return self.starts[number][0]
        return "random" if self.role(number) == "independent" else self.settings.sampler

    def tell(self, number: int, *, state: State, value: float | None, result: Mapping[str, JsonValue]) -> None:
        """End a trial."""
        import optuna

        states = optuna.trial.TrialState
        (trial,) = (each for each in self.study.get_trials(deepcopy=False) if each.number == number)
        self.study._storage.set_trial_user_attr(trial._trial_id, CHANGES, self.changes_of(trial))
        self.study._storage.set_trial_user_attr(trial._trial_id, RESULT, dict(result))
        by_state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
        self.study.tell(number, value if state == "complete" else None, state=by_state[state])

    def results(self) -> list[TrialResult]:
        """Return all trials that have begun, by number."""
        trials = self.study.get_trials(deepcopy=False)
        return [self._result(trial) for trial in trials if trial.state.name != "WAITING"]

    def chosen_values(self, result: TrialResult) -> Values:
        """Return the tuned keys of a trial with their values, and what else it changes: a published rate, say."""
        return {**self.values_of(result.number), **result.changes}

    def best(self) -> TrialResult | None:
        """Return the trial of the best validation figure, of equals the first; one that was stopped cannot win."""
        complete = [result for result in self.results() if result.state == "complete"]
        return max(complete, key=lambda result: (result.value, -result.number), default=None)

    def _result(self, trial: "FrozenTrial") -> TrialResult:
        told: dict[str, Any] = trial.user_attrs.get(RESULT, {})
        state: dict[str, State] = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        return TrialResult(
            number=trial.number,
            role=self.role(trial.number),
            origin=self.origin(trial.number),
            changes=self.changes_of(trial),
            state=state[trial.state.name],
            value=told.get("value"),
            epoch_values=tuple(told.get("epoch_values", ())),
            seconds=told.get("seconds", 0.0),
            chosen_epoch=told.get("chosen_epoch"),
            run_directory=told.get("run_directory"),
            code_hash=told.get("code_hash"),
            comparison_hash=told.get("comparison_hash"),
            error=told.get("error"),
        )

    def _values_of(self, number: int) -> Values | None:
        """Return the values of the tuned keys that a trial's number says; None where the sampler is asked."""
        if number < len(self.starts):
            return self.starts[number][2]
        if self.role(number) == "independent" or self.settings.sampler == "random":
            return draw(self.space, seed=self.settings.sampler_seed, name=self.name, number=number)
        return None
