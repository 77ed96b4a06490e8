"""What a tuning ends with: the best settings as yaml that `peftrec train` takes, and runs with them over final seeds.

    peftrec train --config-dir RUNS_DIR/NAME/tuning/best strategy=lora ...

takes `tuned/lora.yaml` from that folder: the root configuration has an optional group `tuned` of the strategy's name,
below the experiment, so that it overrules what an experiment says and gives way to the command line. Where user
encoders or objectives were listed too,

    peftrec train --config-dir RUNS_DIR/NAME/tuning/best strategy=lora user_encoder=ligr ...

takes `tuned_combination/lora/ligr/debiased_cross_entropy.yaml`, of a second such group: the three are always in the
path, whichever were listed, so that what was tuned with one objective is never taken for another. That a folder has no
best setting of what is trained is an error (peftrec.settings.best_settings).
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from peftrec.files import write_atomically
from peftrec.jobs.isolation import Job
from peftrec.jobs.sweep import job_of, with_user_code
from peftrec.settings.best_settings import TUNED, TUNED_COMBINATION
from peftrec.settings.run import Settings
from peftrec.tuning.candidates import Candidate
from peftrec.tuning.combinations import BESIDE
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.study import TrialResult
from peftrec.tuning.tuner import Tuned

BEST_FOLDER = "best"
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


def final_settings(tuned: Tuned, best: TrialResult, seed: int) -> Settings:
    """Return the best settings with a final seed."""
    return tuned.candidate.changed({**tuned.study.chosen_values(best), "seed": seed})


def final_jobs(tuned: Sequence[Tuned], settings: TuneSettings) -> list[Job]:
    """Return the jobs that train the best setting of each combination that has one, over the final seeds."""
    jobs = []
    for each in tuned:
        best = each.study.best()
        if best is None:
            continue
        for seed in settings.final_seeds:
            words, last = each.candidate.combination.overrides, f"seed={seed}"
            overrides = [*words, *as_overrides(each.study.chosen_values(best)), last]
            jobs.append(job_of(final_settings(each, best, seed), overrides, [*words, last]))
    return with_user_code(jobs)


def as_overrides(changes: dict[str, JsonValue]) -> list[str]:
    """Return changes as words of a command line."""
    return [f"{key}={override_value(value)}" for key, value in changes.items()]


def override_value(value: JsonValue) -> str:
    """Return a value as Hydra reads it on a command line."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


def write_best(tuned: Sequence[Tuned], folder: Path, command: str) -> list[Path]:
    """Write one yaml a combination, with its best setting; those that another tuning wrote are replaced."""
    written = []
    for each in tuned:
        best = each.study.best()
        if best is None:
            continue
        monitor = each.candidate.settings.evaluation.monitor
        head = (
            f"# @package _global_\n# Chosen by validation {monitor} {best.value:.4f}: trial {best.number} "
            f"({best.origin}) of {each.study.begun()}, by\n#   {command}\n"
        )
        values = nested(each.study.chosen_values(best))
        content = yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else "{}\n"
        path = folder / BEST_FOLDER / best_file(each.candidate)
        write_atomically(path, (head + content).encode())
        written.append(path)
    return written


def best_file(candidate: Candidate) -> Path:
    """Return where a combination's best setting lies in the folder of all, as the groups of conf/config.yaml ask."""
    if not candidate.combination.beside:
        return Path(TUNED, f"{candidate.strategy}.yaml")
    *folders, last = (candidate.options[group] for group in BESIDE)
    return Path(TUNED_COMBINATION, candidate.strategy, *folders, f"{last}.yaml")


def nested(changes: dict[str, JsonValue]) -> dict[str, Any]:
    """Return dotted keys as groups of keys."""
    tree: dict[str, Any] = {}
    for key, value in changes.items():
        *groups, last = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return tree
