"""How a run begins: held by one process, and with what stands in its folder already."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from peftrec.data.split import Split
from peftrec.errors import UserError
from peftrec.files import Holding, remove_abandoned
from peftrec.processes import ProcessRank
from peftrec.results.record import DataSummary, Record, write_record
from peftrec.settings.run import Settings
from peftrec.settings.run_identity import cost_conditions
from peftrec.training.checkpoint import BEST, checkpoint_path
from peftrec.training.run.earlier_runs import earlier_record, taken
from peftrec.training.run.identity import Identity
from peftrec.training.run.provenance import this_stretch
from peftrec.training.run.run_record import RunRecord, new_record, refuse_running, running_message


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
                return taken(earlier, identity, folder, settings.reuse), earlier
        stretches = [*(earlier.stretches if earlier is not None else []), stretch]
        record = new_record(
            settings, identity, summarise_data(split, settings), run_id=folder.name, stretches=stretches
        )
        write_record(record, folder)
        return record, earlier

    record, earlier = processes.from_first(begin_here)
    return RunRecord(record, folder, earlier, writes=processes.is_first, writes_csv=settings.logger.csv)


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
