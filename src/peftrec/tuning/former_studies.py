"""What other commands tuned in the same folder: their studies, opened again by what the journal says of each."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from peftrec.settings.run_identity import flat_config
from peftrec.tuning.combinations import combination_of
from peftrec.tuning.optuna_space import from_optuna
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.spaces import Space, Values
from peftrec.tuning.study import PLAN, StrategyStudy

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def former_studies(storage: "BaseStorage") -> dict[str, StrategyStudy]:
    """Return every study of a journal by its name, to be read; but those whose tuner was killed before it had said what
    is tried, of which no trial has begun."""
    found = [(each.study_name, each._study_id, each.user_attrs.get(PLAN)) for each in storage.get_all_studies()]
    return {name: _opened(storage, name, number, plan) for name, number, plan in found if plan is not None}


def _opened(storage: "BaseStorage", name: str, number: int, plan: Mapping[str, Any]) -> StrategyStudy:
    space = Space.model_validate_json(json.dumps(plan["space"]))
    settings = TuneSettings(
        budget=Budget(trials=1),  # which no study looks at
        sampler=plan["sampler"],
        sampler_seed=plan["sampler_seed"],
        pruner=plan.get("pruner", "none"),  # what needs no training has no epochs to be stopped after
    )
    tried = [trial.params for trial in storage.get_all_trials(number, deepcopy=False)]
    return StrategyStudy(
        storage,
        combination=combination_of(name),
        space=space,
        starts=_starts(space, plan, tried),
        plan=plan,
        settings=settings,
    )


def _starts(
    space: Space, plan: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Values, Values]]:
    """Return name, changes and values of what is always tried. Values are those of the settings that the trials share,
    but where changed; of what has no settings, those that its trial was told."""
    shared = flat_config(plan.get("settings", {}))
    named: Sequence[tuple[str, Values]] = plan.get("starts", [("defaults", {})])
    starts = []
    for number, (name, changes) in enumerate(named):
        told = {
            key: from_optuna(space.dimensions[key], value)
            for key, value in (tried[number] if number < len(tried) else {}).items()
        }
        values: dict[str, JsonValue] = {key: (told | shared | changes).get(key) for key in space.dimensions}
        starts.append((name, changes, values))
    return starts
