"""A run from settings to record: prepare, identify, begin, build, fit, evaluate, record."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from peftrec.data.split import Split
from peftrec.devices import resolve_device
from peftrec.errors import SettingsError, UserError
from peftrec.files import FULL, UNUSABLE, no_empty_folders
from peftrec.processes import ProcessRank
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.costs import Epoch
from peftrec.results.record import Evaluation, Kind, Status
from peftrec.settings.run import Settings
from peftrec.trackers.tracker import Feed
from peftrec.trackers.tracking import begin_trackers, check_packages, check_trackers
from peftrec.training.building.assembly import assemble
from peftrec.training.building.learnable import check_learnable
from peftrec.training.building.loaders import build_loaders, mean_negatives
from peftrec.training.building.reading import prepare_data, unread_texts
from peftrec.training.collectives import joined
from peftrec.training.determinism import fix_kernels
from peftrec.training.precision import explain_slow_precision, refuse_float16, with_precision
from peftrec.training.run.beginning import begin, held
from peftrec.training.run.earlier_runs import explain_new_code, run_folder
from peftrec.training.run.exit_status import status_of
from peftrec.training.run.finished_runs import describe_finished
from peftrec.training.run.fitting import Watcher, fit
from peftrec.training.run.identity import identify, provenance_of
from peftrec.training.run.restored_run import RestoredRun, restore_run
from peftrec.training.run.run_record import RunRecord, describe_parameters
from peftrec.training.run.scoring import encoded_candidates, evaluate_test
from peftrec.training.run.serving_costs import serving_of
from peftrec.training.run.trial_watch import TrialOrder, TrialWatch
from peftrec.training.trainer import check_strategy

_runs_of_this_process = itertools.count()


@dataclass(frozen=True)
class RunOutcome:
    """Where a run's record lies and how the run ended."""

    run_directory: Path
    status: Status
    was_finished: bool = False
    """Whether it was there already, and nothing was trained."""


def train_run(settings: Settings, trial: TrialOrder | None = None) -> RunOutcome:
    """Train and evaluate one configuration; a finished run is not run again, an unfinished one resumes.

    A trial of a tuning is a run of its own kind, in a folder of its own, and never scores the test set.
    Where several processes train together, each of them calls this. Whatever ends the run early is recorded and
    raised again, but for a mistake of the configuration, which leaves no run.
    """
    quieten_libraries()
    check_strategy(settings.trainer.strategy)
    check_packages(settings.logger)
    fix_kernels(is_deterministic=settings.trainer.is_deterministic)
    kind: Kind = "train" if trial is None else "trial"
    with joined(settings.trainer) as processes:
        device = resolve_device(settings.trainer.accelerator)
        refuse_float16(settings.trainer.precision, device.type)
        # The check of all images is remembered on the disk, and hashing reads all that there is: once is enough.
        split = processes.first_then_others(partial(prepare_data, settings))
        negatives = mean_negatives(settings, split, processes.count)
        warnings = check_learnable(split, settings.evaluation, negatives_per_positive=negatives)
        for warning in [*unread_texts(settings), *warnings]:
            processes.from_first(partial(print, f"warning: {warning}", file=sys.stderr))
        settings = replace(settings, trainer=with_precision(settings.trainer, device))
        provenance = processes.from_first(partial(provenance_of, settings, split))
        identity = processes.from_first(partial(identify, settings, provenance, processes, kind))
        folder = processes.from_first(partial(run_folder, settings.experiment_directory, identity, settings.reuse))
        processes.from_first(partial(explain_new_code, folder, identity))
        with _explaining_unwritable(folder), no_empty_folders(folder), held(folder, processes):
            run = begin(settings, split, identity, folder, device, processes)
            was_finished = run.record.is_over
            if was_finished:
                processes.from_first(partial(print, describe_finished(folder, run.record, identity), file=sys.stderr))
            else:
                explain_slow_precision(settings.trainer.precision, device, is_told=processes.is_first)
                with _recording_failure(run):
                    _run(settings, split, device, run, processes, trial)
                processes.wait_for_all()
    return RunOutcome(folder, run.record.status, was_finished=was_finished)


def evaluate_run(run_directory: Path, places: Sequence[str] = ()) -> Evaluation:
    """Score a finished run's checkpoint again, from the run's own recorded config.

    Raises RecordError where the data is no longer what the run saw, CheckpointError where the checkpoint is missing or
    another configuration's.
    """
    quieten_libraries()
    return evaluate_restored(restore_run(run_directory, places))


def evaluate_restored(run: RestoredRun) -> Evaluation:
    """Do the same for a run that is in memory."""
    validation = run.record.evaluation.validation if run.record.evaluation else {}
    return evaluate_test(run.module, run.settings, run.split, validation=validation)[0]


def _run(
    settings: Settings,
    split: Split,
    device: torch.device,
    run: RunRecord,
    processes: ProcessRank,
    trial: TrialOrder | None,
) -> None:
    is_isolated = next(_runs_of_this_process) == 0
    processes.from_first(partial(check_trackers, settings.logger, verifies=True))
    assembled = assemble(settings, split, device, processes)
    module = assembled.module
    loaders = build_loaders(settings, split, module, device)
    run.describe(
        describe_parameters(module.parameter_roles, dict(module.loop.learning_rates)),
        negatives_per_positive=loaders.negatives_per_positive,
        competitors=loaders.competitors,
        store=assembled.store,
    )
    watch = None
    if trial is not None:
        watch = TrialWatch(trial, monitor=settings.evaluation.monitor, run_directory=run.folder)

    def goes_on(epochs: list[Epoch]) -> bool:
        return watch is None or processes.from_first(partial(watch.goes_on, epochs))

    with _tracked(settings, run, trial, processes) as feed:

        def after_epoch(epochs: list[Epoch]) -> None:
            run.after_epoch(epochs)  # first: whatever a tracker does, the record has them
            if feed is not None:
                feed.after_epoch(epochs)

        fitted = fit(
            settings,
            assembled,
            loaders,
            run.folder,
            conditions={"devices": run.record.latest.devices, **run.record.latest.conditions},
            watcher=Watcher(on_start=run.start, on_epoch=after_epoch, goes_on=goes_on),
            is_isolated=is_isolated,
        )
        if watch is not None:
            run.finish_trial(fitted)
            return
        validation = fitted.epochs[fitted.chosen_epoch].validation
        catalogue = encoded_candidates(module)
        evaluation, ranked = evaluate_test(module, settings, split, validation=validation, catalogue=catalogue)
        if run.writes:
            run.record.serving = serving_of(settings, split, module, catalogue)
        run.finish(fitted, evaluation, ranked, split)


@contextmanager
def _tracked(
    settings: Settings, run: RunRecord, trial: TrialOrder | None, processes: ProcessRank
) -> Iterator[Feed | None]:
    """Yield what feeds the trackers, in the first process alone; it is ended however the run ends."""
    name = None if trial is None else trial.name

    begun: list[Feed] = []
    processes.from_first(lambda: begun.append(begin_trackers(settings.logger, run.record, run.folder, trial=name)))
    feed = begun[0] if begun else None
    try:
        yield feed
    except BaseException as error:
        if feed is not None:
            feed.end(run.record.model_copy(update={"status": status_of(error)}))
        raise
    if feed is not None:
        feed.end(run.record)


@contextmanager
def _recording_failure(run: RunRecord) -> Iterator[None]:
    try:
        yield
    except SettingsError:  # found while the model was built, by all processes alike
        run.withdraw()
        raise
    except BaseException as error:
        run.fail(error)
        raise


@contextmanager
def _explaining_unwritable(run_directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = _named_by(error)
        if error.errno not in FULL | UNUSABLE or not (named is None or _is_of_run(named, run_directory)):
            raise
        raise UserError(
            f"{named or run_directory}: {error.strerror}; free space or set runs_dir=DIR to a folder that can "
            "be written, then give the same command again: finished runs are kept and this one resumes"
        ) from error


def _named_by(error: OSError) -> Path | None:
    """Return the file that the system names: it may name none, or an open one's number."""
    named: object = error.filename
    return Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else None


def _is_of_run(file: Path, run_directory: Path) -> bool:
    """Say whether it lies in the folder, or is a part of the way to it."""
    folder, place = run_directory.absolute(), file.absolute()
    return place.is_relative_to(folder) or folder.is_relative_to(place)
