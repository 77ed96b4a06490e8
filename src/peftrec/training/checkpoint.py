"""Checkpoints of trainable tensors and plain data, whole or absent, loaded without unpickling code."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from peftrec.errors import CheckpointError
from peftrec.files import write_stream_atomically

BEST = "best"
LAST = "last"


def checkpoint_path(run_directory: Path, name: str) -> Path:
    """Return where a run keeps its best or last checkpoint."""
    return run_directory / "checkpoints" / f"{name}.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside, flushes, renames; reads with `weights_only=True` always."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write_stream_atomically(Path(path), lambda stream: torch.save(checkpoint, stream))

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def keep_best(run_directory: Path, monitor: str) -> ModelCheckpoint:
    """Keep the trainable tensors of the epoch that validation prefers."""
    path = checkpoint_path(run_directory, BEST)
    return ModelCheckpoint(
        dirpath=path.parent,
        filename=BEST,
        monitor=f"val/{monitor}",
        mode="max",
        save_weights_only=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def keep_last(run_directory: Path) -> ModelCheckpoint:
    """Keep what resuming needs after every epoch; listed after `keep_best`, whose state it then holds."""
    path = checkpoint_path(run_directory, LAST)
    return ModelCheckpoint(
        dirpath=path.parent, filename=LAST, save_on_train_epoch_end=True, enable_version_counter=False
    )


def epochs_to_train(last: Path, max_epochs: int) -> int:
    """Return after how many epochs training ends: a resumed run that early stopping had ended is not trained on."""
    if not last.exists():
        return max_epochs
    checkpoint = AtomicCheckpointIO().load_checkpoint(last)
    (stopping,) = (state for name, state in checkpoint["callbacks"].items() if name.startswith("EarlyStopping"))
    had_stopped = stopping["wait_count"] >= stopping["patience"]
    return int(checkpoint["epoch"]) + 1 if had_stopped else max_epochs


def checkpoint_bytes(run_directory: Path) -> int | None:
    """Return the size of the best checkpoint."""
    path = checkpoint_path(run_directory, BEST)
    return path.stat().st_size if path.exists() else None


def remove_checkpoints(run_directory: Path) -> None:
    """Remove what a run keeps to be asked, and to go on."""
    for name in (BEST, LAST):
        checkpoint_path(run_directory, name).unlink(missing_ok=True)


def load_best(module: nn.Module, run_directory: Path) -> int:
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
