"""What encoding an item costs: seconds as the run reads it and as a new one, and operations beyond the bare towers'."""

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.models.peft.merging import MergeError, merge, tuner_layers
from peftrec.models.recommender import Recommender
from peftrec.models.towers.towers import Towers
from peftrec.results.costs import ServingTimes
from peftrec.training.encoding import ITEMS_AT_ONCE
from peftrec.training.measurement import repeated
from peftrec.training.measurement.first_step import operation_counter
from peftrec.training.measurement.repeated import median_seconds, synchronise
from peftrec.training.module import RecommenderModule
from peftrec.training.new_items import embed_new, stored_part

_COUNTED = 8
"""Items whose operations are counted together: what reads a store may round numbers of items up to it."""
_SHAPES = torch.device("meta")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NewItems:
    """Items as nobody has met them: by their content, whatever the run reads."""

    content: ItemContent
    num_items: int
    load_towers: Callable[[], Towers] | None
    """Loads the towers that a store stands in for, on the run's device; null where the run has towers."""


@dataclass(frozen=True, kw_only=True)
class ItemCosts:
    """Measures a run's item encoder, as it was trained or merged; nothing of the module is changed."""

    module: RecommenderModule
    num_items: int
    bare: Towers | None
    """The pretrained towers, shapes alone; null where the run's items pass through none."""
    new_items: NewItems | None

    def as_trained(self) -> ServingTimes:
        """Measure the encoder as it is."""
        return self._times(self.module.recommender)

    def merged(self) -> ServingTimes | None:
        """Measure a copy with peft's layers merged into the towers; None where there are none, peft cannot merge them,
        or the copy finds no memory."""
        if not tuner_layers(self.module.recommender.item_encoder.towers):
            return None
        return unless_out_of_memory("merged", self._merged)

    def _merged(self) -> ServingTimes | None:
        recommender = copy.deepcopy(self.module.recommender)
        try:
            for tower in recommender.item_encoder.towers.present().values():
                merge(tower.encoder)
        except MergeError:
            return None
        return self._times(recommender)

    def _times(self, recommender: Recommender) -> ServingTimes:
        items = self.module.content.encoding_order(self.num_items)
        content, device = self.module.content, self.module.device

        def encode(chosen: np.ndarray) -> Tensor:
            return recommender.embed(content.batch(chosen).to(device))

        seconds, encoded = _catalogue_seconds(encode, items, device)
        new_item_seconds, stored_operations = self._new_item(recommender)
        return ServingTimes(
            item_seconds=median_seconds(lambda call: encode(items[[call % len(items)]]), device),
            new_item_seconds=new_item_seconds,
            stored_operations=stored_operations,
            catalogue_seconds=seconds,
            encoded_items=encoded,
            extra_operations=self._extra_operations(recommender, content.batch(_middle_of(items))),
        )

    def _new_item(self, recommender: Recommender) -> tuple[float | None, int | None]:
        """Return the seconds of a new item, and the operations that compute its stored states."""
        new = self.new_items
        if new is None:
            return None, 0
        device = self.module.device

        def measure() -> tuple[float, int]:
            towers = None if new.load_towers is None else new.load_towers()

            def encode(call: int) -> Tensor:
                batch = new.content.batch(np.array([call % new.num_items])).to(device)
                return embed_new(recommender, batch, towers)

            middle = _middle_of(new.content.encoding_order(new.num_items))
            stored = (
                0 if towers is None else _stored_operations(recommender, new.content.batch(middle).to(device), towers)
            )
            return median_seconds(encode, device), stored

        return unless_out_of_memory("a new item", measure) or (None, None)

    def _extra_operations(self, recommender: Recommender, batch: ItemBatch) -> int:
        """Count what encoding takes, less what the bare towers take for the same content; per item."""
        batch = recommender.item_encoder.towers.filled(batch.to(self.module.device))
        operations = _operations(lambda: recommender.embed(batch))
        if (bare := self.bare) is not None:
            operations -= _operations(lambda: bare(batch.to(_SHAPES)))
        return round(operations / len(batch.items))


def _stored_operations(recommender: Recommender, batch: ItemBatch, towers: Towers) -> int:
    """Count what the towers do for the store, an item."""
    return round(_operations(lambda: stored_part(recommender, batch, towers)) / len(batch.items))


def unless_out_of_memory(what: str, measure: Callable[[], T]) -> T | None:
    """Return what is measured, or say that it is not: a trained run does not fail for it."""
    try:
        return measure()
    except torch.OutOfMemoryError:
        print(f"serving: no memory beside the run to measure {what}; its record holds null", file=sys.stderr)
        return None


def _operations(call: Callable[[], object]) -> int:
    with torch.inference_mode(False), torch.no_grad(), operation_counter() as counter:
        call()
    return counter.get_total_flops()


def _middle_of(items: np.ndarray) -> np.ndarray:
    """Return neighbours in the middle of the catalogue sorted by the length of titles."""
    first = max((len(items) - _COUNTED) // 2, 0)
    return items[first : first + _COUNTED]


def _catalogue_seconds(
    encode: Callable[[np.ndarray], Tensor], items: np.ndarray, device: torch.device
) -> tuple[float, int]:
    """Return the seconds for all items and how many were encoded: blocks evenly over the catalogue, whose titles are
    sorted by length, until the time is used up."""
    blocks = np.array_split(items, range(ITEMS_AT_ONCE, len(items), ITEMS_AT_ONCE))
    order = np.random.default_rng(0).permutation(len(blocks))
    spent, encoded = 0.0, 0
    for number in order:
        started = time.perf_counter()
        encode(blocks[number])
        synchronise(device)
        spent += time.perf_counter() - started
        encoded += len(blocks[number])
        if spent > repeated.BUDGET_SECONDS:
            break
    return spent * len(items) / encoded, encoded
