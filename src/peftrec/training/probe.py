"""One training step under observation, before training: exact memory, operations, and a check of the gradients.

The step changes nothing: gradients are dropped, no optimizer steps, and the random state is put back.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from peftrec.data.batches import SequenceBatch
from peftrec.training.module import RecommenderModule
from peftrec.training.parameter_groups import tensor_bytes


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


def probe_step(module: RecommenderModule, batch: SequenceBatch) -> StepCost:
    """Run forward and backward on `batch`.

    Raises AdaptationError where a tower is in the wrong mode, a trainable parameter gets no gradient, or a frozen one
    does. (A gradient of zeros is one: LoRA's A has it at the start.)
    """
    check_modes(module)
    saved: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    devices = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), FlopCounterMode(display=False) as operations:
        torch.manual_seed(module.schedule.seed)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = module.loss(batch)
        loss.backward()
    check_gradients(module)
    cost = StepCost(
        parameter_bytes=tensor_bytes(module.parameters()),
        gradient_bytes=tensor_bytes(p.grad for p in module.parameters() if p.grad is not None),
        saved_bytes=sum(saved.values()),
        operations=operations.get_total_flops(),
    )
    module.zero_grad(set_to_none=True)
    return cost


def check_modes(module: RecommenderModule) -> None:
    """Raise AdaptationError unless every part trains, but towers that stay frozen, which must be in eval mode."""
    towers = set(module.recommender.item_encoder.towers.modules())
    for name, part in module.recommender.named_modules():
        expected = not (module.towers_stay_frozen and part in towers)
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
