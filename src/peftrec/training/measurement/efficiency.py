"""The one place that measures what training costs, for every strategy alike."""

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from peftrec.hidden_states.store import HiddenStateStore
from peftrec.results.costs import Efficiency, Epoch, ExactBytes, MachineUse
from peftrec.training.measurement.allocations import StepMemory
from peftrec.training.measurement.energy import energy_of
from peftrec.training.measurement.first_step import FirstStepCheck, check_modes
from peftrec.training.measurement.machine import MachineWatch
from peftrec.training.measurement.memory import PeakMemory, read_peak, release_cached, reset_peak
from peftrec.training.measurement.timed_loader import TimedLoader
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes


class EfficiencyMeter(Callback):
    """Measures epochs without validation, and memory of training alone; its state travels in checkpoints, so that a
    run resumed under the same conditions keeps what it measured. Costs measured under other conditions are discarded.

    Of several processes, time is the first one's until all have come to the same place, and memory the largest of any.
    """

    def __init__(
        self,
        loader: TimedLoader,
        first_step: FirstStepCheck,
        *,
        conditions: Mapping[str, Any],
        store: HiddenStateStore | None,
        resident_before_model: int | None,
    ) -> None:
        """Measure what `loader` feeds; `conditions` is plain data that says under what the run trains now: devices,
        and how it is executed on them. `store` is what the
        run reads. `first_step` counts the exact costs of a step, and is listed before this."""
        self.loader = loader
        self.first_step = first_step
        self.conditions = dict(conditions)
        self.store = store
        self.resident_before_model = resident_before_model
        self.epochs: list[dict[str, Any]] = []
        self.first_counted = 0
        """The first epoch of these conditions; costs are those from here on."""
        self.peak = PeakMemory()
        self.optimizer_state_bytes: int | None = None
        self._memory: StepMemory | None = None
        self._watch: MachineWatch | None = None
        self._machine: MachineUse | None = None
        self._started = 0.0
        self._last_batch_end = 0.0
        self._num_steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RecommenderModule)
        if self.first_counted and self.first_counted == len(self.epochs) and pl_module.processes.is_first:
            print(
                f"resumed under other conditions: costs are those from epoch {len(self.epochs) + 1} on", file=sys.stderr
            )
        # Once: what building a store and observing a step left is no part of training, and epochs keep their own.
        release_cached(pl_module.device)
        self._watch = MachineWatch(pl_module.device, pl_module.processes)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RecommenderModule)
        check_modes(pl_module)
        if pl_module.device.type == "cpu" and self.peak.cpu_allocated is None:
            self._memory = StepMemory()
            self._memory.begin(self._standing_bytes(trainer, pl_module))
        self.loader.waited_seconds = 0.0
        self._num_steps = 0
        reset_peak(pl_module.device)
        assert self._watch is not None
        self._watch.start()
        _synchronise(pl_module)
        self._started = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._memory is not None:
            self._memory.before_step(batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, RecommenderModule)
        self._num_steps += 1
        if self._memory is not None:
            self._memory.after_step()
        if batch_idx + 1 == len(self.loader):  # validation follows inside Lightning's epoch: stop the clock here
            _synchronise(pl_module)
            self._last_batch_end = time.perf_counter()
            assert self._watch is not None
            self._machine = self._watch.read()
            own = replace(read_peak(pl_module.device), cpu_allocated=self._end_memory())
            for peak in pl_module.processes.collected(own):
                self.peak = self.peak.maximum(peak)
            self.optimizer_state_bytes = _optimizer_bytes(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append(
            Epoch(
                epoch=trainer.current_epoch,
                training_loss=metrics["train/loss"],
                validation={
                    name.removeprefix("val/"): value for name, value in metrics.items() if name.startswith("val/")
                },
                training_seconds=self._last_batch_end - self._started,
                data_wait_seconds=self.loader.waited_seconds,
                num_steps=self._num_steps,
                machine=self._machine,
            ).model_dump()  # plain data, which a checkpoint may hold
        )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end_memory()  # the log is the thread's, and another run may follow

    def _end_memory(self) -> int | None:
        memory, self._memory = self._memory, None
        return None if memory is None else memory.end()

    def _standing_bytes(self, trainer: Trainer, module: RecommenderModule) -> int:
        """Count what lives on the training device before an epoch. (Processes that join their gradients make buckets
        for them in the first step.)"""
        kept = tensor_bytes([*module.parameters(), *module.buffers()]) + _optimizer_bytes(trainer)
        return kept + (self.store.num_bytes if self.store is not None and self.store.placement != "disk" else 0)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epochs": self.epochs,
            "conditions": self.conditions,
            "first_counted": self.first_counted,
            "peak": asdict(self.peak),
            "optimizer_state_bytes": self.optimizer_state_bytes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]
        if state_dict["conditions"] != self.conditions:
            self.first_counted = len(self.epochs)
            return
        self.first_counted = state_dict["first_counted"]
        self.peak = PeakMemory(**state_dict["peak"])
        self.optimizer_state_bytes = state_dict["optimizer_state_bytes"]

    def history(self) -> list[Epoch]:
        """Return all epochs trained so far."""
        return [Epoch.model_validate(epoch) for epoch in self.epochs]

    def efficiency(self, *, chosen_epoch: int, is_isolated: bool) -> Efficiency:
        """Sum up; `chosen_epoch` is the epoch whose checkpoint is kept."""
        store = self.store
        store_seconds = None if store is None else store.manifest.build_seconds
        epochs = self.history()
        measured = epochs[self.first_counted + 1 :]  # the first pays for caches, compilation and worker start
        seconds = statistics.median(epoch.training_seconds for epoch in measured) if measured else None
        cost, resident = self.first_step.cost, self.peak.resident
        on_cuda, on_cpu = self.peak.cuda_allocated, self.peak.cpu_allocated
        joules, source = energy_of([epoch.machine for epoch in measured if epoch.machine is not None])
        return Efficiency(
            seconds_per_epoch=seconds,
            steps_per_second=epochs[-1].num_steps / seconds if seconds else None,
            data_wait_seconds_per_epoch=(
                statistics.median(epoch.data_wait_seconds for epoch in measured) if measured else None
            ),
            seconds_to_best_epoch=(
                None if self.first_counted else sum(epoch.training_seconds for epoch in epochs[: chosen_epoch + 1])
            ),
            peak_memory_bytes=on_cpu if on_cuda is None else on_cuda,
            memory_source="cuda_allocator" if on_cuda is not None else None if on_cpu is None else "cpu_allocator",
            exact_bytes=self._exact_bytes(),
            cuda_max_allocated_bytes=on_cuda,
            cuda_max_reserved_bytes=self.peak.cuda_reserved,
            resident_peak_bytes=(
                None
                if resident is None or self.resident_before_model is None
                else max(resident - self.resident_before_model, 0)  # the system may take memory back meanwhile
            ),
            step_operations=None if cost is None else cost.operations,
            store_build_seconds=store_seconds,
            store_bytes=None if store is None else store.num_bytes,
            store_placement=None if store is None else store.placement,
            amortised_seconds_per_epoch=(
                None if seconds is None or store_seconds is None else seconds + store_seconds / len(epochs)
            ),
            joules_per_epoch=joules,
            energy_source=source,
            is_isolated=is_isolated,
        )

    def _exact_bytes(self) -> ExactBytes | None:
        cost = self.first_step.cost
        if cost is None or self.optimizer_state_bytes is None:
            return None
        return ExactBytes(
            parameters=cost.parameter_bytes,
            gradients=cost.gradient_bytes,
            optimizer_state=self.optimizer_state_bytes,
            saved_for_backward=cost.saved_bytes,
        )


def _optimizer_bytes(trainer: Trainer) -> int:
    states = (value for state in trainer.optimizers[0].state.values() for value in state.values())
    return tensor_bytes(value for value in states if isinstance(value, torch.Tensor))


def _synchronise(module: RecommenderModule) -> None:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    elif module.device.type == "mps":
        torch.mps.synchronize()
    module.processes.wait_for_all()
