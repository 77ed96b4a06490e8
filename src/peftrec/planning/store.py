"""What a hidden-state store takes: its size, and the operations that compute it once."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from peftrec.models.towers.stored_precision import element_type, row_width, shared_bytes
from peftrec.models.towers.towers import Towers
from peftrec.planning.batches import BatchShape, Workload
from peftrec.planning.fake_items import fake_items
from peftrec.planning.fake_store import StoredStates
from peftrec.planning.fake_tensors import give_storage
from peftrec.settings.run import Settings
from peftrec.training.measurement.first_step import UNCOUNTED_BY_TORCH


@dataclass(frozen=True, kw_only=True)
class PlannedStore:
    """Size and cost of a store."""

    states: dict[str, int]
    """Tower to the number of states kept of an item."""
    num_bytes: int
    resident_bytes: int
    """Weights of the towers that are in memory while it is built: of an offloaded tower's blocks two, of which one is
    read while the other computes."""
    build_operations: int
    saved_operations: int | None
    """Of a step on a mean batch: what its live twin computes beyond it. Null where there is no such twin."""
    build_seconds: float | None
    """Operations at the rate that was given, without decoding and writing; null without a rate."""


def store_bytes(settings: Settings, stored: StoredStates, workload: Workload) -> int:
    """Return the size of the store of all items."""
    precision = settings.hidden_states.dtype
    numbers = sum(
        stored.rows_an_item(name, workload.mean_tokens)
        * len(stored.kept.layers[name])
        * row_width(tower.width, precision)
        for name, tower in stored.towers.present().items()
    )
    shared = sum(
        shared_bytes(len(stored.kept.layers[name]), tower.width, precision)
        for name, tower in stored.towers.present().items()
    )
    return round(workload.num_items * numbers) * getattr(torch, element_type(precision)).itemsize + shared


def plan_store(
    settings: Settings, stored: StoredStates, workload: Workload, *, rate: float | None, saved_operations: int | None
) -> PlannedStore:
    """Plan the store of all items; titles are encoded at their mean length, as building sorts them by length."""
    an_item = _operations_an_item(settings, stored, workload)
    operations = an_item * workload.num_items
    return PlannedStore(
        states={name: len(stored.kept.layers[name]) for name in stored.towers.present()},
        num_bytes=store_bytes(settings, stored, workload),
        resident_bytes=_resident_bytes(settings, stored.towers),
        build_operations=operations,
        saved_operations=saved_operations,
        build_seconds=None if rate is None else operations / rate,
    )


def _resident_bytes(settings: Settings, towers: Towers) -> int:
    total = 0
    for name, tower in towers.present().items():
        total += _bytes_of(tower)
        if name in settings.towers.offloaded:
            blocks = [_bytes_of(block) for block in tower.blocks()]
            total += max(map(sum, pairwise((0, *blocks)))) - sum(blocks)
    return total


def _bytes_of(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())


def _operations_an_item(settings: Settings, stored: StoredStates, workload: Workload) -> int:
    mode = FakeTensorMode()
    give_storage(stored.towers, mode)
    tokens = {name: max(1, round(mean)) for name, mean in workload.mean_tokens.items()}
    shape = BatchShape(num_users=0, num_items=1, title_tokens=tokens)
    with mode, torch.no_grad(), FlopCounterMode(display=False, custom_mapping=UNCOUNTED_BY_TORCH) as operations:
        towers = stored.towers.eval()
        compute = towers.states if stored.kept.form == "pooled" else towers.token_states
        compute(fake_items(settings, shape), stored.kept.layers)
    return operations.get_total_flops()
