"""The training itself: from an assembled model to its last epoch, and back to the parameters of its best."""

import math
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from peftrec.processes import terminate
from peftrec.results.costs import Efficiency, Epoch
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import Assembled
from peftrec.training.building.loaders import Loaders
from peftrec.training.checkpoint import LAST, STOPPED, checkpoint_path, load_best
from peftrec.training.measurement.efficiency import EfficiencyMeter
from peftrec.training.measurement.first_step import FirstStepCheck
from peftrec.training.measurement.timed_loader import TimedLoader
from peftrec.training.run.exit_status import interruption
from peftrec.training.trainer import build_trainer


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Who is told how far training is, in every process alike."""

    on_start: Callable[[int], None]
    """Gets the first epoch that is trained now; 0 unless the run goes on from a checkpoint."""
    on_epoch: Callable[[list[Epoch]], None]
    """Gets all epochs trained so far, after each."""
    goes_on: Callable[[list[Epoch]], bool]
    """Gets the same, and says whether another epoch may follow; every process must say the same."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What training ended with; the module has the parameters of the chosen epoch."""

    epochs: list[Epoch]
    chosen_epoch: int
    efficiency: Efficiency
    was_stopped: bool
    """Whether the watcher let no further epoch follow."""


def fit(
    settings: Settings,
    assembled: Assembled,
    loaders: Loaders,
    run_directory: Path,
    *,
    conditions: Mapping[str, Any],
    watcher: Watcher,
    is_isolated: bool,
) -> Fitted:
    """Train the assembled model to the end, or on from its last checkpoint; `conditions` say what costs depend on."""
    module = assembled.module
    loader = TimedLoader(loaders.training)
    if module.adaptation is not None:
        steps_an_epoch = math.ceil(len(loader) / settings.trainer.accumulate_batches)
        module.adaptation.begin(num_steps=settings.trainer.max_epochs * steps_an_epoch)
    first_step = FirstStepCheck(loaders.training)
    meter = EfficiencyMeter(
        loader,
        first_step,
        conditions=conditions,
        store=assembled.store,
        resident_before_model=assembled.resident_before_model,
    )
    watching = _Watching(watcher, meter)
    trainer = build_trainer(
        settings.trainer,
        settings.evaluation,
        run_directory,
        module.processes,
        measuring=[first_step, meter, watching],
    )
    last = checkpoint_path(run_directory, LAST)
    with interruption():
        trainer.fit(
            module,
            train_dataloaders=loader,
            val_dataloaders=loaders.validation,
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
    module.to(assembled.device)  # Lightning takes it back to the host
    chosen_epoch = load_best(module, run_directory)
    return Fitted(
        epochs=meter.history(),
        chosen_epoch=chosen_epoch,
        efficiency=meter.efficiency(chosen_epoch=chosen_epoch, is_isolated=is_isolated),
        was_stopped=watching.was_stopped,
    )


class _Watching(Callback):
    """Tells the watcher; listed after the meter, whose history it passes on. That the watcher ended training is a part
    of the checkpoint: a run that is killed after it goes on as if it had not been."""

    def __init__(self, watcher: Watcher, meter: EfficiencyMeter) -> None:
        self.watcher = watcher
        self.meter = meter
        self.was_stopped = False
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_sigterm_back()
        self.watcher.on_start(trainer.current_epoch)

    def _take_sigterm_back(self) -> None:
        """Lightning's own handler would first wait for the other processes, which may not have been told."""
        if self.handler is terminate:
            signal.signal(signal.SIGTERM, terminate)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = self.meter.history()
        self.watcher.on_epoch(epochs)
        self.was_stopped = not self.watcher.goes_on(epochs)
        if self.was_stopped:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {STOPPED: self.was_stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.was_stopped = state_dict[STOPPED]
