"""What the drawer of a run shows: where its figures are from, and everything that it was told."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from peftrec.results.configs import flatten, seed_keys
from peftrec.results.record import RECORD_FILE, Record
from peftrec.results.report.commands import command_of
from peftrec.results.runs import Run
from peftrec.results.tower_names import encoder_name, towers_of

Plain = dict[str, Any]


def details_of(runs: Sequence[Run], place: Path) -> Plain:
    """Return the runs as plain data; `place` is the folder that the page will lie in.

    Settings and surroundings that several runs share stand once: most of a comparison is one configuration.
    """
    configs = [flatten(run.record.config) for run in runs]
    common = shared(configs)
    surroundings: list[Plain] = []
    facts: list[Plain] = []
    return {
        "common": common,
        "roles": {key: role for run in runs for key, role in run.record.roles.items()},
        "seedKeys": sorted(seed_keys(zip((run.record.seed for run in runs), configs, strict=True))),
        "surroundings": surroundings,
        "facts": facts,
        "runs": [
            _run(run, place, surroundings)
            | {"facts": _place_of(facts_of(run.record), facts)}
            | {"own": {key: value for key, value in flat.items() if key not in common}}
            | {"without": [key for key in common if key not in flat]}
            for run, flat in zip(runs, configs, strict=True)
        ],
    }


def shared(configs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what all configurations say alike."""
    first = configs[0]
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in configs)}


def link_to(run: Run, place: Path) -> str:
    """Return where the page in `place` finds a run's record."""
    return quote(Path(os.path.relpath(run.folder / RECORD_FILE, place)).as_posix())


def _run(run: Run, place: Path, surroundings: list[Plain]) -> Plain:
    record = run.record
    command = command_of(record)
    return {
        "name": run.name,
        "strategy": record.strategy,
        "seed": record.seed,
        "status": record.effective_status().replace("_", " "),
        "error": record.error,
        "chosen": record.chosen_epoch_from_one,
        "epochs": len(record.epochs),
        "stretches": [
            {
                "from": stretch.first_epoch + 1,
                "date": stretch.started_at,
                "in": _place_of(_surroundings(stretch), surroundings),
            }
            for stretch in record.stretches
        ],
        "command": command.text,
        "needsFolder": command.needs_folder,
        "link": link_to(run, place),
    }


def _place_of(one: Plain, every: list[Plain]) -> int:
    if one not in every:
        every.append(one)
    return every.index(one)


def _surroundings(stretch: Any) -> Plain:
    commit = "none recorded" if stretch.git_commit is None else stretch.git_commit
    return {
        "device": stretch.devices,
        "commit": f"{commit}, with changes that were not committed" if stretch.git_dirty else commit,
        "versions": {**stretch.packages, **stretch.versions},
        "conditions": flatten({key: value for key, value in stretch.conditions.items() if value is not None}),
    }


def facts_of(record: Record) -> dict[str, str]:
    """Return what stands at the head of the drawer, by its name there."""
    facts: dict[str, JsonValue] = {
        **{f"{name} tower": _tower(record, name, tower) for name, tower in towers_of(record).items()},
        "data": _data(record),
        "data hash": record.provenance.data_hash[:12],
        "what policies did": ", ".join(_counts(record)),
        "competitors in training": record.competitors,
        "hidden-state store": record.store,
        "code": record.code_hash[:12],
    }
    return {name: str(value) for name, value in facts.items() if value}


def _tower(record: Record, name: str, tower: Mapping[str, JsonValue]) -> str:
    weights = record.provenance.tower_revisions.get(name)
    parts = [encoder_name(tower), str(tower.get("checkpoint") or tower.get("file") or "")]
    return ", ".join([*(part for part in parts if part), *([f"weights {weights[:12]}"] if weights else [])])


def _data(record: Record) -> str | None:
    data = record.data
    if data is None:
        return None
    return (
        f"{data.num_users:,} users, {data.num_candidates:,} candidates of {data.num_items:,} items, "
        f"{data.num_interactions:,} interactions, {data.num_training_sequences:,} training sequences; "
        f"{data.num_cold_test:,} cold test targets"
    )


def _counts(record: Record) -> list[str]:
    counts = {} if record.data is None else record.data.counts
    return [f"{key.replace('_', ' ')}: {value:,}" for key, value in counts.items()]
