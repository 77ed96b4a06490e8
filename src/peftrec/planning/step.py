"""One training step without values: what it would keep, at most hold, and compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from peftrec.data.batches import SequenceBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.names import TowerName
from peftrec.planning.allocation import LiveBytes
from peftrec.planning.batches import BatchShape
from peftrec.planning.cuda import ALLOCATOR_BLOCK
from peftrec.planning.fake_tensors import MeanDraws, build_fake_run, fake_batch
from peftrec.planning.target import find_target
from peftrec.results.costs import ExactBytes
from peftrec.settings.run import Settings
from peftrec.training.measurement.first_step import observe_step
from peftrec.training.parameter_groups import tensor_bytes


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """What one step needs."""

    exact_bytes: ExactBytes
    """As a record counts it."""
    peak_bytes: int
    """Most that is alive at a moment, temporaries and batch included; on CUDA also a store that lies there."""
    operations: int


_NEEDS_VALUES = (
    "a step of this run cannot be planned: it asks for values of a tensor ({operation}), and a plan has none. In a "
    "part of your own, take the places that are listed (ObjectiveInputs.valid_positions()), or multiply by the mask in "
    "place of indexing with it, and use no .item()"
)


class StepPlanner:
    """Observes steps of one run on batches of any shape; the model is built once."""

    def __init__(
        self,
        settings: Settings,
        *,
        num_items: int,
        sequence_length: int,
        mean_tokens: Mapping[TowerName, float] | None = None,
    ) -> None:
        self.settings = settings
        self.target = find_target(settings)
        self.run = build_fake_run(
            settings, self.target, num_items=num_items, mean_tokens=mean_tokens, sequence_length=sequence_length
        )
        self._planned: dict[BatchShape, PlannedStep] = {}
        with self.run.mode:
            self._make_gradients()
            self._optimizer = self.run.module.configure_optimizers()
            self._optimizer.step()
        states = (value for state in self._optimizer.state.values() for value in state.values())
        self._optimizer_states = [value for value in states if isinstance(value, Tensor)]

    def plan(self, shape: BatchShape) -> PlannedStep:
        """Plan a step on a batch of this shape. Raises AdaptationError as the run's own first step would, and
        SettingsError where a part asks for values."""
        if shape not in self._planned:
            with self.run.mode, MeanDraws():
                self._planned[shape] = self._observe(fake_batch(self.run, shape))
        return self._planned[shape]

    def _observe(self, batch: SequenceBatch) -> PlannedStep:
        module = self.run.module
        live = LiveBytes(block=ALLOCATOR_BLOCK if self.target.on_cuda else 1, on_cuda=self.target.on_cuda)
        live.hold([*module.parameters(), *module.buffers(), *self._optimizer_states, *batch.tensors()])
        follow = live.hold if self.target.holds_store else live.leave_out
        follow(self.run.states.values())
        live.hold(self._make_gradients())  # the last step's are alive until the loss is there
        try:
            with live:
                cost = observe_step(module, batch, self.target.arithmetic())
        except (DynamicOutputShapeException, DataDependentOutputException) as error:
            raise SettingsError(_NEEDS_VALUES.format(operation=error.func)) from error
        return PlannedStep(
            exact_bytes=ExactBytes(
                parameters=cost.parameter_bytes,
                gradients=cost.gradient_bytes,
                optimizer_state=tensor_bytes(self._optimizer_states),
                saved_for_backward=cost.saved_bytes,
            ),
            peak_bytes=live.peak,
            operations=cost.operations,
        )

    def _make_gradients(self) -> list[Tensor]:
        trained = [parameter for parameter in self.run.module.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        return [parameter.grad for parameter in trained if parameter.grad is not None]
