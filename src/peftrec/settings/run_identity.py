"""What decides a run's result: its settings, the data, the towers' weights, and the code that computes it.

The first three are the question that a run answers; the code is who answers it. Both are in a run's name, so that
changed code never finds its old figures, and kept apart, so that the same question answered before can be told from
another one.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import JsonValue

from peftrec.code.fingerprint import Fingerprint, take_fingerprint
from peftrec.code.user_code import sources
from peftrec.config.fields import TARGET, entries_of, fields_of
from peftrec.config.roles import Role, without
from peftrec.settings.run import Settings

RUN_ROOTS = (
    *("peftrec.training.determinism", "peftrec.training.building.assembly"),
    *("peftrec.training.run.fitting", "peftrec.training.run.scoring"),
)
"""What chooses kernels, builds, fits and evaluates; with the parts that the settings name, all of a run's code is
reached from here."""
RUN_PACKAGES = ("torch", "transformers", "tokenizers", "peft", "lightning", "numpy", "Pillow")
STORE_ROOTS = (
    *("peftrec.hidden_states.encoding", "peftrec.hidden_states.arrays"),
    *("peftrec.hidden_states.token_counts", "peftrec.models.towers.towers", "peftrec.data.content"),
)
"""What computes and keeps hidden states, besides the towers that the settings name."""
STORE_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "Pillow")


def question_hash(config: Mapping[str, JsonValue], roles: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """Hash what a run asks: its kind and what of the settings decides the result, and `facts` about data and towers."""
    return digest({"config": deciding_config(config, roles), **facts})


def deciding_config(config: Mapping[str, JsonValue], roles: Mapping[str, str]) -> dict[str, Any]:
    """Return what of a configuration decides the result. Towers are a mapping of those there are by their names."""
    deciding = without(config, roles)
    towers = deciding.get("towers")
    if isinstance(towers, dict):
        deciding["towers"] = {name: tower for name, tower in towers.items() if tower is not None and name != TARGET}
    return deciding


def run_code(settings: Settings) -> Fingerprint:
    """Fingerprint the code and libraries that decide the result of a run of these settings."""
    return take_fingerprint([*RUN_ROOTS, *part_modules(settings)], RUN_PACKAGES, sources())


def store_code(settings: Settings) -> Fingerprint:
    """Fingerprint what decides the content of the store that these settings describe."""
    return take_fingerprint([*STORE_ROOTS, *part_modules(settings.towers)], STORE_PACKAGES, sources())


def part_modules(part: Any) -> Iterator[str]:
    """Yield the modules of the classes that a part is made of."""
    yield type(part).__module__
    for name, field in fields_of(type(part)).items():
        value = getattr(part, name)
        for each in value.values() if entries_of(field) is not None else [value]:
            if is_dataclass(each):
                yield from part_modules(each)


def processes_decide(settings: Settings) -> bool:
    """Say whether the number of processes decides the result: where each draws random numbers for itself, or scores
    against its own part of the batch."""
    strategy = settings.strategy
    return (
        settings.trainer.negatives == "local"
        or any(part.draws_in_training for part in (strategy, settings.user_encoder, settings.objective))
        or (strategy.reads_content and not strategy.keeps_towers_frozen and settings.towers.draw_in_training())
    )


def cost_conditions(config: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """Return what of a configuration decides costs and nothing else, by its keys."""
    flat = flat_config(config)
    return {
        key: value
        for key, value in flat.items()
        if any(role == Role.COST and (key == group or key.startswith(f"{group}.")) for group, role in roles.items())
    }


def cost_differences(config: Mapping[str, Any], other: Mapping[str, Any], roles: Mapping[str, str]) -> list[str]:
    """Return `key=value` of `config` for what `other` executes in another way."""
    own, others = cost_conditions(config, roles), cost_conditions(other, roles)
    return [f"{key}={json.dumps(value)}" for key, value in own.items() if value != others.get(key)]


def digest(content: Any) -> str:
    """Hash plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def flat_config(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration by its dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flat_config(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
