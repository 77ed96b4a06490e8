"""The verb `peftrec tune`: from its words to the table."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from peftrec.config.composition import compose_part
from peftrec.config.instantiate import fields_of
from peftrec.config.roles import roles_of
from peftrec.files import write_atomically
from peftrec.jobs.isolation import JobOutcome, JobRunner
from peftrec.jobs.launching import JOB_MODULE
from peftrec.jobs.sweep import Sweep, device_groups, job_of, with_user_code
from peftrec.results.report import build_report
from peftrec.results.tables import to_csv
from peftrec.settings.run import settings_to_config
from peftrec.settings.run_identity import deciding_config
from peftrec.tuning.candidates import STRATEGY, Candidate, compose_candidates
from peftrec.tuning.finals import final_jobs, write_best
from peftrec.tuning.journal import opened_journal, require_optuna
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.study import StrategyStudy
from peftrec.tuning.tables import to_markdown, trials_begun, trials_table, tuned_table
from peftrec.tuning.tuner import Tuned, Tuner

FOLDER = "tuning"
TRIALS_FILE = "trials.csv"
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
    """Run the trials, train the best settings, write the tables; 0 where every strategy has all its final runs."""
    require_optuna()
    settings, others = read_words(words)
    candidates = compose_candidates(others, settings)
    home = candidates[0].settings.experiment_directory
    folder = home / FOLDER
    jobs = with_user_code([job_of(each.settings, [f"{STRATEGY}={each.strategy}"], []) for each in candidates])
    devices = device_groups(jobs)
    slots = settings.slots or max(1, len(devices))
    with opened_journal(folder) as storage:
        tuned = [
            Tuned(candidate=each, study=_study(storage, each, settings), job=job)
            for each, job in zip(candidates, jobs, strict=True)
        ]
        runner = JobRunner(slots=slots, devices=devices, module=module)
        write_trials(tuned, folder)
        is_done = Tuner(tuned, settings, folder, on_told=lambda: write_trials(tuned, folder)).run(runner)
        if not is_done:
            print(_stopped(tuned, settings), file=sys.stderr)
            return 1
        write_best(tuned, folder, " ".join(["peftrec", "tune", *words]))
        sweep = Sweep()
        outcomes = sweep.run_jobs(final_jobs(tuned, settings), directory=home, slots=slots, module=module)
        return _report(home, folder, tuned, settings, outcomes)


def _study(storage: object, candidate: Candidate, settings: TuneSettings) -> StrategyStudy:
    """Open a strategy's study; what it is gone on with by is all that decides its trials."""
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
        storage,  # type: ignore[arg-type]
        name=candidate.strategy,
        space=candidate.space,
        starts=starts,
        plan=plan,
        settings=settings,
    )


def write_trials(tuned: Sequence[Tuned], folder: Path) -> None:
    """Write one row a trial."""
    write_atomically(folder / TRIALS_FILE, to_csv(trials_table([each.study for each in tuned])).encode())


def _stopped(tuned: Sequence[Tuned], settings: TuneSettings) -> str:
    counts = ", ".join(f"{each.candidate.strategy} {each.study.begun()}" for each in tuned)
    return (
        f"hours={settings.hours:g}: no trial begins any more ({counts} of {settings.budget.describe()}); the same "
        "command goes on, and one with a smaller budget trains the best of what is there"
    )


def _report(
    home: Path, folder: Path, tuned: Sequence[Tuned], settings: TuneSettings, outcomes: Sequence[JobOutcome]
) -> int:
    """Write and print the report of the folder, and beside it the table of what was tuned."""
    failed = [outcome for outcome in outcomes if outcome.status != "success"]
    run_ids: dict[str, frozenset[str]] = {}
    for each in tuned:
        label = f"{STRATEGY}={each.candidate.strategy}"
        own = [outcome for outcome in outcomes if label in outcome.overrides and outcome.run_directory is not None]
        run_ids[each.candidate.strategy] = frozenset(Path(str(outcome.run_directory)).name for outcome in own)
    report = build_report(home)
    report.write()
    print(report.to_terminal())
    frame = tuned_table(report.comparison, tuned, run_ids)
    write_atomically(folder / "table.csv", to_csv(frame).encode())
    write_atomically(folder / "table.md", to_markdown(frame, settings, ()).encode())
    print(f"report: {report.directory}\ntuning: {folder}")
    for outcome in failed:
        print(f"{outcome.status}: {outcome.label}: {outcome.error or 'see its record'}", file=sys.stderr)
    return 1 if failed or any(each.study.best() is None for each in tuned) else 0


def forecast_tuning(words: Sequence[str]) -> str:
    """Say what is still to be done and what it takes; nothing is started, and nothing written."""
    from peftrec.planning.request import PlanRequest
    from peftrec.tuning.forecast import forecasts, to_text

    own = dict(word.split("=", 1) for word in words if _key(word) == "rate" and "=" in word)
    settings, others = read_words([word for word in words if _key(word) != "rate"])
    candidates = compose_candidates(others, settings)
    jobs = [job_of(each.settings, [], []) for each in candidates]
    file = candidates[0].settings.experiment_directory / FOLDER / TRIALS_FILE
    begun = trials_begun(file, [each.strategy for each in candidates])
    found = forecasts(candidates, settings, begun, PlanRequest.of(own, []))
    return to_text(found, settings, settings.slots or max(1, len(device_groups(jobs))))
