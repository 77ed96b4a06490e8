"""A run's module and batches as tensors that have shapes and no values: what they would need is counted, not spent.

The modules are those that a run builds (`training.assembly`), on the meta device first. Before a step they become
torch's fake tensors, which answer as tensors on a CPU do: attention picks the same kernel and autocast casts, where
plain meta tensors do neither.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from peftrec.data.batches import (
    ItemBatch,
    SequenceBatch,
)
from peftrec.data.content import ItemContent
from peftrec.errors import SettingsError
from peftrec.hidden_states.rows import gather
from peftrec.models.towers.names import TowerName
from peftrec.planning.batches import BatchShape
from peftrec.planning.fake_items import fake_items
from peftrec.planning.fake_store import FakeStates, StoredStates, fake_scales, fake_states, fake_tokens, stored_states
from peftrec.planning.target import Target
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import build_module
from peftrec.training.building.item_side import load_trained_towers
from peftrec.training.module import RecommenderModule
from peftrec.training.trainer import checkpoint_activations


class MeanDraws(TorchFunctionMode):
    """Answers a single draw with its mean, beside tensors that have no values: peft's LoHa and LoKr ask so, in every
    step, whether to leave a layer out."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.rand and args == (1,):
            return torch.tensor([0.5])
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True, kw_only=True)
class FakeRun:
    """What a run would train, ready to be observed inside `mode`."""

    settings: Settings
    target: Target
    sequence_length: int
    mode: FakeTensorMode
    module: RecommenderModule
    stored: StoredStates | None
    """Null where the module reads no store."""
    reader: FakeStates | None
    """What the module reads in place of a store; null where it reads none."""

    @property
    def states(self) -> Mapping[TowerName, Tensor]:
        """Return the store itself; empty where there is none."""
        return {} if self.reader is None else self.reader.states


def build_fake_run(
    settings: Settings,
    target: Target,
    *,
    num_items: int,
    sequence_length: int,
    mean_tokens: Mapping[TowerName, float] | None = None,
) -> FakeRun:
    """Build what the run would train. Titles of so many tokens on average, for each text tower, decide what a store of
    tokens holds; without one they decide nothing, and need not be given.

    Raises SettingsError where the run could not be built either.
    """
    # What a layer keeps as a plain attribute, such as FourierFT's indices, has values; it becomes fake when it is read.
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    stored = stored_states(settings) if settings.strategy.states == "store" else None
    reader = None
    if stored is not None:
        states = fake_states(settings, stored, num_items, mean_tokens or {}, mode)
        reader = FakeStates(states=states, scales=fake_scales(settings, stored, mode))
    with torch.device("meta"):
        towers = load_trained_towers(settings, with_weights=False)
        module = build_module(
            settings,
            towers,
            content=ItemContent(),
            log_popularity=torch.zeros(num_items),
            sequence_length=sequence_length,
            states=reader,
        )
    if settings.trainer.gradient_checkpointing:
        checkpoint_activations(towers, context_fn=lambda: (nullcontext(), _computing_again(target)))
    given = give_storage(module, mode, dtype=target.parameter_dtype)
    module.parameter_roles = [replace(role, parameter=given[id(role.parameter)]) for role in module.parameter_roles]
    module.set_training_modes()
    return FakeRun(
        settings=settings,
        target=target,
        sequence_length=sequence_length,
        mode=mode,
        module=module,
        stored=stored,
        reader=reader,
    )


@contextmanager
def _computing_again(target: Target) -> Iterator[None]:
    """Do in a block that the backward pass computes again what was done in the forward pass: torch suspends the modes
    that are on while it goes backward."""
    with MeanDraws(), target.attention():
        yield


def require_configs(settings: Settings) -> None:
    """Raise SettingsError unless the configs of all towers that the run reads are at hand."""
    for name, part in settings.towers.encoders.items():
        if part.checkpoint is None or not settings.strategy.reads_content:
            continue
        try:
            part.config(name)
        except SettingsError as error:
            raise SettingsError(
                f"{error}; or plan a shape: towers=bert_vit_base_random is that of BERT-base and ViT-B/16, "
                f"towers.{name}.architecture takes any other"
            ) from error


def give_storage(
    module: nn.Module, mode: FakeTensorMode, *, dtype: torch.dtype = torch.float32
) -> dict[int, nn.Parameter]:
    """Turn all meta tensors of a module into fake ones, shared ones into shared ones, floating-point ones to `dtype`.

    Returns the new parameter by the identity of the old one.
    """
    parameters: dict[int, nn.Parameter] = {}
    buffers: dict[int, Tensor] = {}

    def like(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype)

    with mode:
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    made = nn.Parameter(like(parameter), requires_grad=parameter.requires_grad)
                    part._parameters[name] = parameters.setdefault(id(parameter), made)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = buffers.setdefault(id(buffer), like(buffer))
    return parameters


def fake_batch(run: FakeRun, shape: BatchShape) -> SequenceBatch:
    """Make a training batch of the given shape; call it inside the run's mode."""
    items = ItemBatch(items=torch.empty(shape.num_items, dtype=torch.int64))
    if run.settings.strategy.reads_content and run.stored is None:
        items = fake_items(run.settings, shape)
    if run.stored is not None and run.stored.kept.form == "tokens":
        tokens = partial(fake_tokens, run.settings, run.stored, shape)
        if run.target.is_store_read_by_loader:
            items = replace(items, states=tokens())
        else:
            assert run.reader is not None
            run.reader.read_tokens = tokens
    elif run.stored is not None and run.target.is_store_read_by_loader:
        gathered = {name: gather(tensor, items.items) for name, tensor in run.states.items()}
        items = replace(items, states=gathered)
    size = (shape.num_users, run.sequence_length + 1)
    draws = run.settings.objective.competitors().kind == "sampled"
    return SequenceBatch(
        items=items,
        sequences=torch.empty(size, dtype=torch.int64),
        mask=torch.empty(size, dtype=torch.bool),
        times=torch.empty(size, dtype=torch.int64) if run.settings.user_encoder.reads_times else None,
        drawn=torch.empty(shape.num_items, dtype=torch.bool) if draws else None,
        positions=torch.empty(shape.num_positions, dtype=torch.int64),
    )
