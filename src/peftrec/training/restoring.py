"""A finished run as it was: its settings, its data and its trained module, from its own record and checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch

from peftrec.data.source import Catalogue
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import CheckpointError, RecordError
from peftrec.results.record import Record, read_finished
from peftrec.settings import Settings, settings_from_config
from peftrec.training.assembly import assemble, read_catalogue, resolve_device
from peftrec.training.checkpoint import BEST, AtomicCheckpointIO, checkpoint_path
from peftrec.training.determinism import fix_kernels
from peftrec.training.module import RecommenderModule
from peftrec.training.provenance import identify
from peftrec.training.trainer import parameter_dtype


@dataclass(frozen=True, kw_only=True)
class RestoredRun:
    """What a run ended with."""

    directory: Path
    record: Record
    settings: Settings
    catalogue: Catalogue
    """What its data holds, before the split."""
    split: Split
    module: RecommenderModule
    """With the parameters of the chosen epoch, on `device`, in evaluation mode."""
    device: torch.device


def restore_run(run_directory: Path) -> RestoredRun:
    """Build a run's model again and load its chosen checkpoint.

    Raises RecordError where the record is missing, the run is not finished, or the data is no longer what the run saw,
    CheckpointError where the checkpoint is missing or another configuration's.
    """
    record = read_finished(run_directory)
    settings = settings_from_config(record.config)
    fix_kernels(is_deterministic=settings.trainer.is_deterministic)
    catalogue = read_catalogue(settings)
    split = split_catalogue(catalogue, settings.data)
    device = resolve_device(settings.trainer.accelerator)
    identity = identify(settings, split, device)
    for name in ("data_hash", "content_hashes", "tower_revisions"):
        if getattr(identity.provenance, name) != getattr(record.provenance, name):
            raise RecordError(f"{run_directory}: {name} differs from the recorded one; data or towers were changed")
    module = assemble(settings, split, device).module.to(device, parameter_dtype(settings.trainer.precision))
    load_best(module, run_directory)
    return RestoredRun(
        directory=run_directory,
        record=record,
        settings=settings,
        catalogue=catalogue,
        split=split,
        module=module.eval(),
        device=device,
    )


def load_best(module: RecommenderModule, run_directory: Path) -> int:
    """Load the chosen checkpoint and return its epoch. Raises CheckpointError."""
    path = checkpoint_path(run_directory, BEST)
    if not path.exists():
        raise CheckpointError(f"{path}: missing; finish the run with the command that started it")
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return int(checkpoint["epoch"])
