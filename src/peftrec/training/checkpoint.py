"""Checkpoints of trainable tensors and plain data, whole or absent, loaded without unpickling code."""

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from peftrec.data.stand_ins import stand_in
from peftrec.errors import CheckpointError
from peftrec.files import write_stream_atomically

REMEDIES = {
    "best": "remove the folder {folder} and give the command of the run again: it then trains anew",
    "last": "remove {path}, and the run starts again with its first epoch",
}
"""By the name of a checkpoint, what is to be done where it cannot be read."""
KEYS: Mapping[str, type] = {"state_dict": dict, "epoch": int}
"""What every checkpoint of a run holds, Lightning's keys."""
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, OSError),
    *(RuntimeError, ValueError, LookupError, AttributeError, TypeError, NotImplementedError, OverflowError),
)
"""What zipfile and torch raise on a file that is no checkpoint, or no whole one."""

BEST = "best"
LAST = "last"
STOPPED = "was_stopped"
"""What a callback that may end training keeps of itself."""


def checkpoint_path(run_directory: Path, name: str) -> Path:
    """Return where a run keeps its best or last checkpoint."""
    return run_directory / "checkpoints" / f"{name}.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside, flushes, renames; reads with `weights_only=True` always."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write_stream_atomically(Path(path), lambda stream: torch.save(checkpoint, stream))

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        return read_checkpoint(Path(path), map_location=map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path, *, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint and compare the checksums of its parts, which torch writes and does not look at.

    Raises CheckpointError that names the file and the remedy where it is not whole, was changed, is none of a run, or
    holds weights that are no finite numbers.
    """
    try:
        if path.is_dir():
            raise CheckpointError(_unreadable(path, "a folder"))
        if (what := stand_in(path)) is not None:
            raise CheckpointError(f"{path}: {what}")
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(_unreadable(path, f"damaged: the checksum of {damaged} differs"))
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; give the command of the run again") from error
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); let this user read it") from error
    except DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(_unreadable(path, f"no whole checkpoint ({reason})")) from error
    if (wrong := _wrong_content(checkpoint)) is not None:
        raise CheckpointError(_unreadable(path, wrong))
    return checkpoint


def _wrong_content(checkpoint: Any) -> str | None:
    """Return why this is no checkpoint of a run, or no good one; None where it is."""
    if not isinstance(checkpoint, dict):
        return f"holds a {type(checkpoint).__name__}, and no checkpoint of a run"
    for key, kind in KEYS.items():
        if not isinstance(checkpoint.get(key), kind):
            return f"holds no {key}, so it is no checkpoint of a run"
    for name, tensor in checkpoint["state_dict"].items():
        if not isinstance(tensor, torch.Tensor):
            return f"{name} is a {type(tensor).__name__} and no tensor"
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return f"{name} holds numbers that are not finite"
    return None


def _unreadable(path: Path, what: str) -> str:
    remedy = REMEDIES.get(path.stem, REMEDIES[BEST])
    return f"{path}: {what}; {remedy.format(path=path, folder=path.parent.parent)}"


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
    """Return after how many epochs training ends: a resumed run that early stopping, or its tuner, had ended is not
    trained on."""
    if not last.exists():
        return max_epochs
    checkpoint = read_checkpoint(last)
    try:
        callbacks = checkpoint["callbacks"]
        (stopping,) = (state for name, state in callbacks.items() if name.startswith("EarlyStopping"))
        had_stopped = stopping["wait_count"] >= stopping["patience"]
        had_stopped |= any(state.get(STOPPED, False) for state in callbacks.values())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(_unreadable(last, "holds nothing to go on from")) from error
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
        raise CheckpointError(_unreadable(path, "missing"))
    checkpoint = read_checkpoint(path)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return int(checkpoint["epoch"])
