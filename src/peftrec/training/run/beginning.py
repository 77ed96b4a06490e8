"""How a run begins: in which folder, and with what that stands there already."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from peftrec.code.fingerprint import Fingerprint
from peftrec.data.split import Split
from peftrec.errors import UserError
from peftrec.files import Holding, remove_abandoned
from peftrec.processes import ProcessRank
from peftrec.results.record import DataSummary, Record, write_record
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import cost_conditions
from peftrec.training.checkpoint import BEST, checkpoint_path
from peftrec.training.run.earlier_runs import choose_despite_code, explain_new_code, find_earlier
from peftrec.training.run.identity import Identity
from peftrec.training.run.provenance import this_stretch
from peftrec.training.run.run_record import RunRecord, earlier_record, new_record, refuse_running, running_message

TRIALS = "trials"
"""The folder, in that of the experiment, where trials of a tuning lie."""


def run_folder(settings: Settings, identity: Identity) -> Path:
    """Return the run's folder: its own, or with reuse=despite_code that of a run of the same question by other code.

    Says so where such a run stands there and is not taken.
    """
    home = settings.experiment_directory / TRIALS if identity.kind == "trial" else settings.experiment_directory
    own = home / identity.run_id
    if (earlier_record(own)) is not None:
        return own
    earlier = find_earlier(home, identity)
    if settings.reuse == "despite_code":
        chosen = choose_despite_code(earlier)
        return own if chosen is None else chosen.folder
    explain_new_code(earlier, identity)
    return own


@contextmanager
def held(folder: Path, processes: ProcessRank) -> Iterator[None]:
    """Hold the run while it goes on: two processes that began it at the same moment would both train it.

    A finished run needs no holder. Raises UserError where another process has it, in all of `processes`.
    """
    holding = Holding(folder.with_name(f".{folder.name}.lock"))

    def hold() -> None:
        if holding.acquire():
            return
        record = earlier_record(folder)
        if record is None or not record.is_over:
            raise UserError(running_message(folder, None if record is None else record.process))

    processes.from_first(hold)
    try:
        yield
    finally:
        holding.release()


def begin(
    settings: Settings,
    split: Split,
    identity: Identity,
    folder: Path,
    device: torch.device,
    processes: ProcessRank,
) -> RunRecord:
    """Return the record of this run: a finished one as it is, else one that says `running` and is written.

    Raises UserError where another process runs it now.
    """
    stretch = this_stretch(
        settings, identity.code, device, processes, costs=cost_conditions(identity.config, identity.roles)
    )

    def begin_here() -> tuple[Record, Record | None]:
        for place in (folder, checkpoint_path(folder, BEST).parent):
            remove_abandoned(place)
        earlier = earlier_record(folder)
        if earlier is not None:
            refuse_running(earlier, folder)
            if earlier.is_over:
                return _taken(earlier, identity, folder, settings), earlier
        stretches = [*(earlier.stretches if earlier is not None else []), stretch]
        record = new_record(
            settings, identity, summarise_data(split, settings), run_id=folder.name, stretches=stretches
        )
        write_record(record, folder)
        return record, earlier

    record, earlier = processes.from_first(begin_here)
    return RunRecord(record, folder, earlier, writes=processes.is_first, writes_csv=settings.logger.csv)


def _taken(record: Record, identity: Identity, folder: Path, settings: Settings) -> Record:
    """Return a finished record; where other code made it, it says from now on that it was taken all the same."""
    made_by = Fingerprint(modules=record.latest.modules, versions=record.latest.packages)
    if settings.reuse == "despite_code" and made_by.digest != identity.code.digest:
        latest = record.latest.model_copy(update={"reuse": settings.reuse})
        record = record.model_copy(update={"stretches": [*record.stretches[:-1], latest]})
        write_record(record, folder)
    return record


def summarise_data(split: Split, settings: Settings) -> DataSummary:
    """Count what stands beside every figure."""
    masks_targets = settings.evaluation.mask_history == "all"
    return DataSummary(
        num_users=len(split.test),
        num_items=len(split.items),
        num_candidates=len(split.items),
        num_interactions=split.num_interactions,
        num_training_sequences=len(split.windows),
        num_unreachable_validation=int(split.validation.is_target_in_history().sum()) if masks_targets else 0,
        num_unreachable_test=int(split.test.is_target_in_history().sum()) if masks_targets else 0,
        num_cold_test=int((split.train_counts[split.test.targets] == 0).sum()),
        counts=split.counts,
        validation_from=None if split.periods is None else split.periods.validation_from,
        test_from=None if split.periods is None else split.periods.test_from,
    )
