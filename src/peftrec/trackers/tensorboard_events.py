"""TensorBoard: one folder of event files a run, by Lightning's logger."""

from pathlib import Path
from typing import ClassVar

from peftrec.results.costs import Epoch
from peftrec.results.record import Record
from peftrec.settings.run_identity import flat_config
from peftrec.trackers.figures import epoch_figures, epoch_number, final_figures, numbers

FOLDER = "tensorboard"
_EVENTS = "events.out.tfevents.*"


class TensorBoardEvents:
    """Curves over epochs; settings and what the run ended with under "HParams"."""

    name: ClassVar[str] = "TensorBoard"
    without: ClassVar[str] = "logger.tensorboard=false"
    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, record: Record, run_directory: Path) -> None:
        from lightning.pytorch.loggers import TensorBoardLogger

        self.record = record
        self.folder = run_directory / FOLDER
        self.logger = TensorBoardLogger(save_dir=self.folder, name="", version="", default_hp_metric=False)

    def begin(self) -> int:
        """Begin anew: files of a process that was killed may hold epochs that are trained again now."""
        for file in self.folder.glob(_EVENTS):
            file.unlink()
        self.folder.mkdir(parents=True, exist_ok=True)
        _ = self.logger.experiment  # opens the file, so that a folder that cannot be written is told now
        return 0

    def log(self, epoch: Epoch) -> None:
        self.logger.log_metrics(epoch_figures(epoch), step=epoch_number(epoch))
        self.logger.experiment.flush()

    def end(self, record: Record) -> None:
        figures = numbers(final_figures(record))
        self.logger.log_hyperparams(flat_config(record.config), figures, step=len(record.epochs))
        self.logger.finalize("success" if record.is_over else "failed")
