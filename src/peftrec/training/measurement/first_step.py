"""One training step under observation, before training: exact memory, operations, and a check of the gradients.

The step changes nothing: gradients are dropped, no optimizer steps, and the random state is put back. Tensors without
values can be observed as well (see peftrec.planning).
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers.modeling_layers import GradientCheckpointingLayer

from peftrec.data.batches import SequenceBatch
from peftrec.training.divergence import check_start
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import storage_key, tensor_bytes


def _product_operations(_: Sequence[int], left: Sequence[int], right: Sequence[int], **_rest: object) -> int:
    return 2 * prod(left) * right[-1]


UNCOUNTED_BY_TORCH = {
    torch.ops.aten.addmm_: _product_operations,
    torch.ops.aten.baddbmm_: _product_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **_rest: sdpa_flop_count(
        query, key, value
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, query, key, value, *_, **_rest: (
        sdpa_backward_flop_count(grad, query, key, value)
    ),
}
"""Operations by shapes; torch itself counts the fused attention of CUDA alone, and no product in place."""


class AdaptationError(RuntimeError):
    """The model does not train what its strategy declares; a bug in the strategy, not in the user's input."""


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What one step needs, exactly."""

    parameter_bytes: int
    gradient_bytes: int
    saved_bytes: int
    """Tensors kept for the backward pass: unique storages, parameters and the store's rows not counted twice."""
    operations: int

    @classmethod
    def of_all(cls, costs: Sequence["StepCost"]) -> "StepCost":
        """Sum up the processes of one step: the largest memory of any, the operations of all."""
        return cls(
            parameter_bytes=max(cost.parameter_bytes for cost in costs),
            gradient_bytes=max(cost.gradient_bytes for cost in costs),
            saved_bytes=max(cost.saved_bytes for cost in costs),
            operations=sum(cost.operations for cost in costs),
        )


def probe_step(
    module: RecommenderModule,
    batch: SequenceBatch,
    precision: AbstractContextManager[object] | None = None,
    *,
    look: Callable[[Tensor], None] | None = None,
) -> StepCost:
    """Run forward, inside `precision`, and backward on `batch`.

    Raises AdaptationError where a tower is in the wrong mode, a trainable parameter gets no gradient, or a frozen one
    does. (A gradient of zeros is one: LoRA's A has it at the start.) `look` gets the loss.
    """
    devices = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(module.loop.seed)
        return observe_step(module, batch, precision, look=look)


def observe_step(
    module: RecommenderModule,
    batch: SequenceBatch,
    precision: AbstractContextManager[object] | None = None,
    *,
    look: Callable[[Tensor], None] | None = None,
) -> StepCost:
    """Like `probe_step`, without saving and restoring the random state."""
    check_modes(module)
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()
    inputs: list[_Kept] = []

    def keep(tensor: Tensor) -> _Kept:
        kept.add(box := _Kept(tensor))
        return box

    with operation_counter() as operations:
        observed = torch.autograd.graph.saved_tensors_hooks(keep, lambda box: box.tensor)
        inputs_too = _inputs_of_checkpointed_blocks(module, lambda tensor: inputs.append(keep(tensor)))
        with precision or nullcontext(), observed, inputs_too:
            loss = module.loss(batch)
        saved_bytes = _bytes_besides_parameters(module, kept)
        inputs.clear()
        module.zero_grad(set_to_none=True)  # where Lightning drops the last step's gradients: after forward
        loss.backward()
    check_gradients(module)
    if look is not None:
        look(loss.detach())
    cost = StepCost(
        parameter_bytes=tensor_bytes(module.parameters()),
        gradient_bytes=tensor_bytes(p.grad for p in module.parameters() if p.grad is not None),
        saved_bytes=saved_bytes,
        operations=operations.get_total_flops(),
    )
    module.zero_grad(set_to_none=True)
    return cost


class FirstStepCheck(Callback):
    """Observes one step before training starts or goes on, and keeps what it costs; nothing is changed by it.

    Of several processes' costs, memory is the largest of any, and operations are those of all. Raises DivergedError
    where the loss is not finite before anything was trained.
    """

    def __init__(self, loader: DataLoader[SequenceBatch]) -> None:
        self.loader = loader
        self.cost: StepCost | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, RecommenderModule)
        sampler: Any = self.loader.sampler
        sampler.set_epoch(0)
        first = self.loader.dataset[next(iter(sampler))]
        precision = trainer.precision_plugin.forward_context()
        losses: list[Tensor] = []
        cost = probe_step(pl_module, first.to(pl_module.device), precision, look=losses.append)
        told = pl_module.processes.collected((cost, float(losses[0])))  # so that all processes raise, or none
        self.cost = StepCost.of_all([cost for cost, _ in told])
        if trainer.global_step == 0:
            check_start([loss for _, loss in told])


def operation_counter() -> FlopCounterMode:
    """Return what counts the floating-point operations of all that runs while it is open."""
    counter = FlopCounterMode(display=False, custom_mapping=UNCOUNTED_BY_TORCH)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    return counter


class _NoModules:
    """In place of torch's tracker of modules: its hooks on gradients keep graphs alive that the model has dropped."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class _Kept:
    """A tensor as autograd keeps it; it goes with the graph, so that what was computed in vain is not counted."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _bytes_besides_parameters(module: nn.Module, kept: Iterable[_Kept]) -> int:
    parameters = {storage_key(parameter) for parameter in module.parameters()}
    return tensor_bytes(box.tensor for box in kept if storage_key(box.tensor) not in parameters)


@contextmanager
def _inputs_of_checkpointed_blocks(module: nn.Module, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Show `keep` what a checkpoint keeps as an argument, where no hook of autograd sees it."""

    def look(_: nn.Module, arguments: tuple[object, ...]) -> None:
        for argument in arguments:
            if isinstance(argument, Tensor):
                keep(argument)

    blocks = [part for part in module.modules() if isinstance(part, GradientCheckpointingLayer)]
    handles = [block.register_forward_pre_hook(look) for block in blocks if block.gradient_checkpointing]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_modes(module: RecommenderModule) -> None:
    """Raise AdaptationError unless every part trains, but towers that stay frozen, and what lies below the lowest block
    that is adapted, which must be in eval mode."""
    towers = module.recommender.item_encoder.towers
    frozen = set(towers.modules()) if module.towers_stay_frozen else set(towers.parts_below())
    for name, part in module.recommender.named_modules():
        expected = part not in frozen
        if part.training != expected:
            raise AdaptationError(f"{name or 'the model'} is in {'train' if part.training else 'eval'} mode")


def check_gradients(module: nn.Module) -> None:
    """Raise AdaptationError unless exactly the trainable parameters have a gradient."""
    without = [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]
    frozen = [name for name, p in module.named_parameters() if not p.requires_grad and p.grad is not None]
    if without:
        raise AdaptationError(f"{len(without)} trainable parameters got no gradient: {', '.join(without[:5])}")
    if frozen:
        raise AdaptationError(f"{len(frozen)} frozen parameters got a gradient: {', '.join(frozen[:5])}")
