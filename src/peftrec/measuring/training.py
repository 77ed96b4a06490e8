"""Training in turns: the run's own loop on the same few batches, which waits before each turn until it may go on.

Nothing differs from training but that there are no validation, checkpoints and evaluation, and that every epoch is the
same first batches. What a turn cost is what the meter of every run says of these epochs.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from peftrec.data.split import Split
from peftrec.devices import resolve_device
from peftrec.measuring.channel import Channel
from peftrec.processes import ALONE
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.record import Record, read_finished
from peftrec.settings.run import Settings, settings_from_config
from peftrec.settings.run_identity import cost_conditions, run_code
from peftrec.training.building.assembly import Assembled, assemble
from peftrec.training.building.loaders import build_loaders
from peftrec.training.building.reading import prepare_data
from peftrec.training.determinism import fix_kernels
from peftrec.training.measurement.efficiency import EfficiencyMeter
from peftrec.training.measurement.first_step import FirstStepCheck
from peftrec.training.measurement.timed_loader import TimedLoader
from peftrec.training.module import RecommenderModule
from peftrec.training.run.conditions import placement_of
from peftrec.training.run.provenance import this_stretch
from peftrec.training.run.restored_run import check_unchanged
from peftrec.training.trainer import plain_trainer

FOR_EVER = -1
MILLISECONDS = 1000.0


class DeviceClock(Callback):
    """Times passes on CUDA by its own events; on a CPU it says nothing.

    Listed before the meter, so that a pass ends before the meter waits for the device; whoever is listed after the
    meter begins it.
    """

    def __init__(self, loader: TimedLoader) -> None:
        self.loader = loader
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def begin(self, device: torch.device) -> None:
        """Begin a pass."""
        if device.type == "cuda":
            self.events.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
            self.events[-1][0].record()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.events and batch_idx + 1 == len(self.loader):
            self.events[-1][1].record()

    def take(self) -> list[float] | None:
        """Return the seconds of each pass so far, and forget them; None on a CPU."""
        if not self.events:
            return None
        seconds = [start.elapsed_time(end) / MILLISECONDS for start, end in self.events]
        self.events.clear()
        return seconds


class Gate(Callback):
    """Waits before each turn; listed after the meter, whose epochs it passes on."""

    def __init__(self, channel: Channel, meter: EfficiencyMeter, clock: DeviceClock) -> None:
        self.channel = channel
        self.meter = meter
        self.clock = clock
        self._passes = 0
        self._left = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._wait(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RecommenderModule)
        self.clock.begin(pl_module.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._left -= 1
        if self._left > 0:
            return
        self.channel.say(
            {
                "epochs": self.meter.epochs[-self._passes :],
                "device_seconds": self.clock.take(),
                "allocated_bytes": self.meter.peak.allocated,
                "memory_source": self.meter.peak.source,
            }
        )
        self._wait(trainer)

    def _wait(self, trainer: Trainer) -> None:
        self._passes = self._left = int(self.channel.hear()["passes"])
        if not self._passes:
            trainer.should_stop = True


def train_in_turns(run_directory: Path, channel: Channel, *, num_steps: int) -> None:
    """Build a finished run anew, say that it is ready, and train whenever the other end says for how many passes over
    its first `num_steps` batches; end when it says none.

    Raises RecordError where data or towers are no longer what the run saw.
    """
    quieten_libraries()
    record = read_finished(run_directory)
    settings = as_it_ran(record)
    fix_kernels(is_deterministic=settings.trainer.is_deterministic)
    split = prepare_data(settings)
    check_unchanged(run_directory, record, settings, split)
    device = resolve_device(settings.trainer.accelerator)
    assembled = assemble(settings, split, device)
    description = describe(record, settings, assembled)
    fit_in_turns(settings, split, assembled, channel, num_steps=num_steps, description=description)


def as_it_ran(record: Record) -> Settings:
    """Return a run's settings, with what `auto` came to."""
    settings = settings_from_config(record.config)
    placement = None if record.efficiency is None else record.efficiency.store_placement
    if placement is None:
        return settings
    chosen: Any = placement
    return replace(settings, hidden_states=replace(settings.hidden_states, placement=chosen))


def describe(record: Record, settings: Settings, assembled: Assembled) -> dict[str, Any]:
    """Return under what the run is measured, as a record says under what it trained."""
    code = run_code(settings)
    costs = cost_conditions(record.config, record.roles)
    stretch = this_stretch(settings, code, assembled.device, ALONE, costs=costs)
    return {
        "device": stretch.devices,
        "conditions": {**stretch.conditions, **placement_of(assembled.store)},
        "versions": stretch.versions,
        "code_hash": code.digest,
    }


def fit_in_turns(
    settings: Settings,
    split: Split,
    assembled: Assembled,
    channel: Channel,
    *,
    num_steps: int,
    description: dict[str, Any],
) -> None:
    """Train the assembled model in turns."""
    module = assembled.module
    trainer_settings = settings.trainer
    repeating = replace(
        settings, trainer=replace(trainer_settings, overfit_batches=num_steps, max_steps_per_epoch=None)
    )
    loaders = build_loaders(repeating, split, module, assembled.device)
    if module.adaptation is not None:  # what it does at which step is what it did in the run
        steps = math.ceil(steps_of_an_epoch(settings, split) / trainer_settings.accumulate_batches)
        module.adaptation.begin(num_steps=trainer_settings.max_epochs * steps)
    loader = TimedLoader(loaders.training)
    meter = EfficiencyMeter(
        loader,
        FirstStepCheck(loaders.training),
        conditions={},
        store=assembled.store,
        resident_before_model=assembled.resident_before_model,
    )
    clock = DeviceClock(loader)
    trainer = plain_trainer(
        trainer_settings,
        module.processes,
        callbacks=[clock, meter, Gate(channel, meter, clock)],
        max_epochs=FOR_EVER,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        logger=False,
    )
    channel.say(description)
    trainer.fit(module, train_dataloaders=loader, val_dataloaders=loaders.validation)  # which no turn reaches


def steps_of_an_epoch(settings: Settings, split: Split) -> int:
    """Return how many batches an epoch of the run has."""
    every = math.ceil(len(split.windows) / settings.batch_size)
    limits = (every, settings.trainer.max_steps_per_epoch, settings.trainer.overfit_batches)
    return min(limit for limit in limits if limit is not None)
