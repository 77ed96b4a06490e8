"""Whether the jobs of a sweep are runs of their own, and of one table; asked before the first of them starts."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from peftrec.config.roles import value_of, without
from peftrec.config.strict import is_folder_name
from peftrec.errors import SettingsError, shortlist
from peftrec.jobs.isolation import Job
from peftrec.settings.run_identity import cost_differences, digest, flat_config

OF_THE_COMPARISON = ("data", "evaluation.mask_history")
"""Keys whose values all rows of a table share."""


def refuse_doubles(jobs: Sequence[Job]) -> None:
    """Refuse two jobs of which the second would find its run finished, or going on, and be taken for trained.

    Raises SettingsError.
    """
    by_name: dict[Any, list[Job]] = defaultdict(list)
    for job in jobs:
        by_name[_experiment(job), digest(without(job.config, job.roles))].append(job)
    for group in by_name.values():
        for first, second in combinations(group, 2):
            _refuse_double(first, second)


def _refuse_double(first: Job, second: Job) -> None:
    own, other = flat_config(second.config), flat_config(first.config)
    differences = [f"{key}={json.dumps(value)}" for key, value in own.items() if value != other.get(key)]
    if any(text.startswith(("towers.", "data.")) for text in differences):
        return  # other weights or files are another run, wherever else the two differ
    if costs := cost_differences(second.config, first.config, second.roles):
        raise SettingsError(
            f"jobs {first.label!r} and {second.label!r} are one run: {', '.join(costs)} is no part of its name, "
            "because it decides costs and not results; give one command for each, with a name=NAME of its own"
        )
    if differences:
        raise SettingsError(
            f"jobs {first.label!r} and {second.label!r} are one run: {shortlist(differences)} is no part of its name; "
            "give one value"
        )
    words = " ".join(first.overrides)
    raise SettingsError(f"two jobs are the same, {words}: give each value of a sweep once")


def refuse_mixed(jobs: Sequence[Job]) -> None:
    """Refuse jobs of one experiment whose runs no table could hold. Raises SettingsError."""
    firsts: dict[tuple[Any, ...], Job] = {}
    for job in jobs:
        first = firsts.setdefault(_experiment(job), job)
        ours, theirs = _comparison(job), _comparison(first)
        different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
        if different:
            raise SettingsError(
                f"jobs {first.label!r} and {job.label!r} differ in {shortlist(different)}, and no table can hold "
                f"results of different data or evaluation: {_apart(first, different, [ours, theirs])}"
            )


def _apart(job: Job, different: Sequence[str], configs: Sequence[dict[str, Any]]) -> str:
    """Return how such jobs are given: by one command, where a name of a folder can be made of the key that differs."""
    values = [str(config.get(different[0])) for config in configs]
    if len(different) == 1 and all(map(is_folder_name, values)):
        return (
            f"add name='{job.config['name']}-${{{different[0]}}}', which makes an experiment of each value, with a "
            "report of its own; `peftrec report` of all these folders then ranks across them"
        )
    return (
        "give one command for each, with a name=NAME of its own; `peftrec report RUNS_DIR/NAME RUNS_DIR/OTHER` then "
        "ranks across them"
    )


def _experiment(job: Job) -> tuple[Any, ...]:
    return job.config["runs_dir"], job.config["name"]


def _comparison(job: Job) -> dict[str, Any]:
    return flat_config({key: value_of(job.config, key) for key in OF_THE_COMPARISON})
