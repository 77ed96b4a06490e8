"""How far a small training is, for logs, where no progress bar can be shown."""

from lightning import Callback, LightningModule, Trainer

from peftrec.terminal import CountedLines


class EpochCount(Callback):
    """Writes `epochs trained: 12 of 100 after 0.5 min, 3.7 min left` to standard error now and then."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert trainer.max_epochs is not None
        self._lines = CountedLines("epochs trained", trainer.max_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines.advance(1)
