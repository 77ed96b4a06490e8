"""Many adapters on one tower: each request names the one that encodes it.

Every adapter gets a structure of its own (Python objects and its few weights) over one set of pretrained tensors.
Choosing an adapter is choosing a structure, so that nothing is switched, requests may run in threads, adapters of
different methods stand side by side, and a mixed batch cannot meet the wrong one.
"""

import threading
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch
from peftrec.errors import CheckpointError, UserError, shortlist
from peftrec.models.towers.tower import Tower
from peftrec.serving.peft_folders import fingerprint, read_adapter
from peftrec.training.parameter_groups import tensor_bytes

Content = TypeVar("Content", TextBatch, ImageBatch, PatchBatch)


class AdapterBank:
    """One tower, which belongs to the bank from then on, and the adapters that were loaded onto it.

    Safe to use from several threads: encoding changes nothing and waits for nobody; adding and removing hold a lock and
    put a new table of adapters in the place of the old one, which requests that are under way go on reading.
    """

    def __init__(self, tower: Tower, adapters: Mapping[str, Path] = MappingProxyType({})) -> None:
        self.tower = tower.requires_grad_(False).eval()
        self._fingerprint = fingerprint(tower.encoder)
        self._lock = threading.Lock()
        self._adapted: Mapping[str, Tower] = {}
        for name, folder in adapters.items():
            self.add(name, folder)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters, in the order in which they were added."""
        return tuple(self._adapted)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, each storage once: the tower's, and what the adapters add."""
        towers = (self.tower, *self._adapted.values())
        return tensor_bytes(tensor for tower in towers for tensor in (*tower.parameters(), *tower.buffers()))

    def add(self, name: str, folder: Path) -> None:
        """Load the adapter that `peftrec export` (or peft) wrote to `folder`.

        Raises CheckpointError where it belongs to another tower, UserError where the name is taken.
        """
        with self._lock:
            if name in self._adapted:
                raise UserError(f"adapter {name!r} is loaded already; remove it first, or choose another name")
            try:
                adapted = read_adapter(self.tower, folder, base_fingerprint=self._fingerprint)
            except CheckpointError as error:
                raise CheckpointError(f"{folder}: {error}") from error
            self._adapted = {**self._adapted, name: adapted}

    def remove(self, name: str) -> None:
        """Let an adapter go; requests that are under way with it end as they began."""
        with self._lock:
            self._get(name)
            self._adapted = {other: tower for other, tower in self._adapted.items() if other != name}

    @torch.inference_mode()
    def encode(self, content: TextBatch | ImageBatch | PatchBatch, adapter: str | None) -> Float[Tensor, "item hidden"]:
        """Encode items under the adapter, or by the bare tower where it is None.

        Raises UserError for an unknown name, with the nearest ones.
        """
        return self._get(adapter)(content)

    @torch.inference_mode()
    def encode_mixed(self, content: Content, adapters: Sequence[str | None]) -> Float[Tensor, "item hidden"]:
        """Encode each item under its own adapter: one pass for each that occurs, rows in the order of the items."""
        if len(adapters) != len(next(iter(vars(content).values()))):
            raise ValueError(f"{len(adapters)} names of adapters for another number of items")
        rows_of = {name: [row for row, each in enumerate(adapters) if each == name] for name in dict.fromkeys(adapters)}
        towers = {name: self._get(name) for name in rows_of}
        parts = [towers[name](_chosen(content, rows)) for name, rows in rows_of.items()]
        order = torch.tensor([row for rows in rows_of.values() for row in rows], device=parts[0].device)
        return torch.cat(parts)[order.argsort()]

    def _get(self, name: str | None) -> Tower:
        if name is None:
            return self.tower
        adapted = self._adapted
        if name not in adapted:
            near = get_close_matches(name, adapted, n=3)
            advice = f"did you mean {' or '.join(near)}?" if near else f"there are {shortlist(adapted) or 'none'}"
            raise UserError(f"adapter {name!r} is not loaded; {advice}")
        return adapted[name]


def _chosen(content: Content, rows: list[int]) -> Content:
    return content.apply(lambda tensor: tensor[rows])
