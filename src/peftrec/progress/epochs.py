"""Where a training is, epoch by epoch, for logs where no progress bar can be shown: under nohup, in a Slurm job, in a
sweep."""

import sys
import time

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from peftrec.progress.terminal import CountedLines


class EpochCount(Callback):
    """Writes `epochs trained: 12 of 100 after 0.5 min, 3.7 min left` to standard error now and then."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert trainer.max_epochs is not None
        self._lines = CountedLines("epochs trained", trainer.max_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines.advance(1)


class EpochBar(RichProgressBar):
    """Lightning's bar, with epochs counted from one as everywhere."""

    def _get_train_description(self, current_epoch: int) -> str:
        total = self.trainer.max_epochs
        text = f"Epoch {current_epoch + 1}" + ("" if total is None or total < 0 else f"/{total}")
        return text.ljust(len(self.validation_description))  # of one width, or the two lines flicker


class EpochLines(Callback):
    """Writes `epoch 3/30: loss 4.1234, val/hr@10 0.0312, 12.3 s` to standard error, from the first process alone; the
    seconds are those of the whole epoch, validation included."""

    def __init__(self, *, monitor: str, max_epochs: int) -> None:
        self.monitor = monitor
        self.max_epochs = max_epochs
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        loss, quality = (float(trainer.callback_metrics[name]) for name in ("train/loss", self.monitor))
        print(
            f"epoch {trainer.current_epoch + 1}/{self.max_epochs}: loss {loss:.4f}, {self.monitor} {quality:.4f}, "
            f"{time.perf_counter() - self._started:.1f} s",
            file=sys.stderr,
            flush=True,
        )
