"""`python tuner_that_is_killed.py FOLDER SLOTS WORDS...`: a tuner whose trials train nothing, in threads of its own.

What it does to journal, records and answers is what a tuner does; a test kills it at any moment. A trial's quality is a
function of its settings and of the epoch.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import made_up_records
from peftrec.jobs.isolation import Job, JobOutcome
from peftrec.results.costs import Epoch
from peftrec.results.process import this_process
from peftrec.results.record import RECORD_FILE, Record, read_record, write_record
from peftrec.training.run.trial_watch import TrialWatch
from peftrec.tuning.candidates import Candidate, compose_candidates
from peftrec.tuning.combinations import BESIDE
from peftrec.tuning.journal import opened_journal
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.tuner import Tuned, Tuner
from peftrec.tuning.tuning import open_study

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

EPOCH_SECONDS = 0.05
MONITOR = "hr@10"


class Threads:
    """Stands in for JobRunner."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    @contextmanager
    def submitting(self) -> Iterator[Callable[[str, Job], "Future[JobOutcome]"]]:
        with ThreadPoolExecutor(self.slots) as pool:
            yield lambda name, job: pool.submit(run_trial, job)


def run_trial(job: Job) -> JobOutcome:
    """Do what a trial's process does: go on from its record, tell each epoch, wait for word, end."""
    assert job.trial is not None
    deciding = {key: job.config[key] for key in ("strategy_name", "strategy", "learning_rates", "seed", *BESIDE)}
    question = json.dumps(deciding, sort_keys=True).encode()
    folder = Path(str(job.config["runs_dir"]), "made-up", "trials", hashlib.sha256(question).hexdigest()[:12])
    record = read_record(folder) if (folder / RECORD_FILE).exists() else new_record(folder.name, job)
    record.process, record.status = this_process(), "running"
    watch = TrialWatch(job.trial, monitor=MONITOR, run_directory=folder)
    goes_on = not record.epochs or watch.goes_on(record.epochs)  # where it was killed, the word may be there
    while goes_on and len(record.epochs) < job.config["trainer"]["max_epochs"]:
        time.sleep(EPOCH_SECONDS)
        record.epochs.append(made_up_epoch(question, len(record.epochs)))
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "trained.txt").open("a") as log:
            log.write(f"{len(record.epochs)}\n")
        write_record(record, folder)
        goes_on = watch.goes_on(record.epochs)
    record.status = "success" if goes_on else "pruned"
    record.chosen_epoch = max(record.epochs, key=lambda epoch: epoch.validation[MONITOR]).epoch
    write_record(record, folder)
    return JobOutcome(label=job.label, overrides=[], status=record.status, run_directory=str(folder), seconds=0.0)


def made_up_epoch(question: bytes, number: int) -> Epoch:
    skill, noise = (hashlib.sha256(question + text).digest()[0] / 2560 for text in (b"", str(number).encode()))
    return Epoch(
        epoch=number,
        training_loss=1.0,
        validation={MONITOR: skill + number * noise / 10},
        training_seconds=1.0,
        data_wait_seconds=0.0,
        num_steps=1,
    )


def new_record(name: str, job: Job) -> Record:
    ranks = made_up_records.made_up_ranks(0.3, 1, 20)
    record = made_up_records.made_up_record(made_up_records.STRATEGIES[0], 1, ranks)
    changes = {"run_id": name, "kind": "trial", "evaluation": None, "epochs": [], "chosen_epoch": None}
    return record.model_copy(update={**changes, "config": job.config, "status": "running"})


def tuned_of(candidates: Sequence[Candidate], storage: "BaseStorage", settings: TuneSettings) -> list[Tuned]:
    """Return what a tuner tunes, with jobs that hold nothing but their strategy."""
    return [
        Tuned(
            candidate=each,
            study=open_study(storage, each, settings),
            job=Job(label=each.label, overrides=[], config={}),
        )
        for each in candidates
    ]


def main(folder: str, slots: str, *words: str) -> None:
    trials, pruner, sampler = words
    settings = TuneSettings(budget=Budget(trials=int(trials)), pruner=pruner, sampler=sampler)  # type: ignore[arg-type]
    candidates = compose_candidates(
        ["strategy=id,frozen_cached", f"runs_dir={folder}", "name=made-up", "trainer.max_epochs=4"], settings
    )
    tuning = Path(folder, "made-up", "tuning")
    with opened_journal(tuning) as storage:
        tuned = tuned_of(candidates, storage, settings)
        assert Tuner(tuned, settings, tuning, on_told=lambda: None).run(Threads(int(slots)))  # type: ignore[arg-type]
        results = {each.study.name: [vars(result) for result in each.study.results()] for each in tuned}
        best = {each.study.name: vars(each.study.best() or object()) for each in tuned}
    Path(folder, "ended.json").write_text(json.dumps({"results": results, "best": best}))


if __name__ == "__main__":
    main(*sys.argv[1:])
