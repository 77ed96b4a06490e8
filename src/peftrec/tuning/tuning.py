"""The verb `peftrec tune`: from its words to the table."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from peftrec.code.user_code import config_folders
from peftrec.config.composition import compose_part
from peftrec.config.fields import fields_of
from peftrec.config.roles import roles_of
from peftrec.dashboards.after_report import log_comparison
from peftrec.errors import UserError
from peftrec.jobs.isolation import JobRunner
from peftrec.jobs.launching import JOB_MODULE
from peftrec.jobs.sweep import Sweep, device_groups, job_of, with_user_code
from peftrec.measuring.after_sweep import measure_sweep
from peftrec.outputs.safe_text import for_line
from peftrec.results.report.report import build_report
from peftrec.settings.run import settings_to_config
from peftrec.settings.run_identity import deciding_config
from peftrec.tuning.candidates import Candidate, compose_candidates
from peftrec.tuning.combinations import check_one_kind
from peftrec.tuning.files import TRIALS_FILE, Learnt
from peftrec.tuning.finals import final_jobs, write_best
from peftrec.tuning.former_studies import former_studies
from peftrec.tuning.item_knn import NAME as ITEM_KNN
from peftrec.tuning.item_knn import item_knn_space
from peftrec.tuning.journal import copied_journal, opened_journal, require_optuna
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.study import Spent, StrategyStudy
from peftrec.tuning.tables import budget_text, chosen_text
from peftrec.tuning.tuner import Tuned, Tuner

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

FOLDER = "tuning"
_KEYS = {*fields_of(TuneSettings), *(f"budget.{name}" for name in fields_of(Budget))}
_LISTS = ("final_seeds",)


def read_words(words: Sequence[str]) -> tuple[TuneSettings, list[str]]:
    """Sort a command line into the tuning's settings and the words of its runs."""
    own = [_as_list(word) for word in words if _key(word) in _KEYS]
    settings = compose_part(TuneSettings, own, folder="tune")
    return settings, [word for word in words if _key(word) not in _KEYS]


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _as_list(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}=[{value}]" if key in _LISTS and not value.startswith("[") else word


def tune(words: Sequence[str], *, module: str = JOB_MODULE) -> int:
    """Run the trials, train the best settings, write the tables; 0 where all has all its final runs."""
    require_optuna()
    settings, others = read_words(words)
    candidates = compose_candidates(others, settings)
    space = item_knn_space() if settings.item_knn else None
    home = candidates[0].settings.experiment_directory
    jobs = with_user_code([job_of(each.settings, each.combination.overrides, []) for each in candidates])
    devices = device_groups(jobs)
    runner = JobRunner(slots=settings.slots or max(1, len(devices)), devices=devices, module=module)
    with opened_journal(home / FOLDER) as storage:
        former = former_studies(storage)
        studies = open_studies(storage, candidates, settings)
        tuned = [
            Tuned(candidate=each, study=study, job=job)
            for each, study, job in zip(candidates, studies, jobs, strict=True)
        ]
        learnt = Learnt(home / FOLDER, settings, {study.name: study for study in studies}, former)
        learnt.write_trials()
        if not Tuner(tuned, settings, home / FOLDER, on_told=learnt.write_trials).run(runner):
            print(_stopped(tuned, settings), file=sys.stderr)
            return 1
        check_one_data_set(learnt.studies.values())
        write_best(tuned, home / FOLDER, command_of(words))
        if space is not None:
            learnt.add_item_knn(storage, space, candidates[0].settings)
    return _train_best(tuned, learnt, runner)


def _train_best(tuned: Sequence[Tuned], learnt: Learnt, runner: JobRunner) -> int:
    """Train the best settings over the final seeds, measure them side by side, and report."""
    if all(each.study.best() is None for each in tuned):
        raise UserError(f"no trial ended well, so that there is nothing to train; see {learnt.folder / TRIALS_FILE}")
    sweep = Sweep()
    home = tuned[0].candidate.settings.experiment_directory
    outcomes = sweep.run_jobs(
        final_jobs(tuned, learnt.settings), directory=home, slots=runner.slots, module=runner.module
    )
    measure_sweep(sweep, learnt.settings.measure)
    curves = learnt.write_curves(tuned[0].candidate.settings.evaluation.monitor)
    report = build_report(home)
    report.write()
    print(report.to_terminal())
    for line in learnt.write_tables(report.comparison, curves):
        print(f"- {line}")
    for study in learnt.studies.values():
        if (best := study.best()) is not None:
            print(f"{study.label}: {budget_text(study.results())}; {chosen_text(study.values_of(best.number))}")
    print(f"report: {report.directory}\ntuning: {learnt.folder}")
    log_comparison(home)
    failed = [outcome for outcome in outcomes if outcome.status != "success"]
    for outcome in failed:
        print(f"{outcome.status}: {outcome.label}: {outcome.error or 'see its record'}", file=sys.stderr)
    without = [each.candidate.label for each in tuned if each.study.best() is None]
    if without:
        print(f"no trial ended well: {', '.join(without)}; see {learnt.folder / TRIALS_FILE}", file=sys.stderr)
    return 1 if failed or without else 0


def open_studies(
    storage: "BaseStorage", candidates: Sequence[Candidate], settings: TuneSettings
) -> list[StrategyStudy]:
    """Open the studies of a command. Raises SettingsError where the journal holds them, or the folder, for another."""
    folder = candidates[0].settings.experiment_directory / FOLDER
    check_one_kind(candidates[0].combination, former_names(storage), folder)
    return [open_study(storage, each, settings) for each in candidates]


def open_study(storage: "BaseStorage", candidate: Candidate, settings: TuneSettings) -> StrategyStudy:
    """Open a candidate's study; what it is gone on with by is all that decides its trials."""
    run = candidate.settings
    starts = [(start.name, start.changes, candidate.values_of(start.changes)) for start in candidate.starts]
    plan: dict[str, JsonValue] = {
        "settings": deciding_config(settings_to_config(run), roles_of(run)),
        "space": candidate.space.model_dump(mode="json"),
        "starts": [[name, changes] for name, changes, _ in starts],
        "sampler": settings.sampler,
        "sampler_seed": settings.sampler_seed,
        "pruner": settings.pruner,
    }
    return StrategyStudy(
        storage, combination=candidate.combination, space=candidate.space, starts=starts, plan=plan, settings=settings
    )


def check_one_data_set(studies: Iterable[StrategyStudy]) -> None:
    """Raise UserError where the trials saw different data: files may have changed while the tuning had stopped."""
    hashes = {each.comparison_hash for study in studies for each in study.results() if each.comparison_hash is not None}
    if len(hashes) > 1:
        raise UserError(
            "the data changed between the trials, so that nothing can be chosen among them: put back what the first "
            "were trained on, or set name=NAME for a tuning of its own"
        )


def former_names(storage: "BaseStorage") -> list[str]:
    """Return the names of the studies of methods that a journal holds."""
    return [each.study_name for each in storage.get_all_studies() if each.study_name != ITEM_KNN]


def _stopped(tuned: Sequence[Tuned], settings: TuneSettings) -> str:
    counts = ", ".join(f"{each.candidate.label} {each.study.begun()}" for each in tuned)
    return (
        f"hours={settings.hours:g}: no trial begins any more ({counts} of {settings.budget.describe()}); the same "
        "command goes on, and one with a smaller budget trains the best of what is there"
    )


def command_of(words: Sequence[str]) -> str:
    """Return a tuning's command in one line, which a comment of a yaml file may hold whatever the words do."""
    folders = [word for folder in config_folders() for word in ("--config-dir", str(folder))]
    return for_line(shlex.join(["peftrec", "tune", *folders, *words]))


def forecast_tuning(words: Sequence[str]) -> str:
    """Say what is still to be done and what it takes; nothing is started, and nothing written."""
    from peftrec.planning.request import PlanRequest
    from peftrec.tuning.forecast import forecasts, to_text

    own = dict(word.split("=", 1) for word in words if _key(word) == "rate" and "=" in word)
    settings, others = read_words([word for word in words if _key(word) != "rate"])
    candidates = compose_candidates(others, settings)
    jobs = [job_of(each.settings, [], []) for each in candidates]
    storage = copied_journal(candidates[0].settings.experiment_directory / FOLDER)
    if storage is None:
        spent = [Spent() for _ in candidates]
    else:
        spent = [study.spent() for study in open_studies(storage, candidates, settings)]
    found = forecasts(candidates, settings, spent, PlanRequest.of(own))
    return to_text(found, settings, settings.slots or max(1, len(device_groups(jobs))))
