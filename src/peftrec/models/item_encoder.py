"""Item encoders: items in, embeddings out, whatever the strategy did to the towers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.data.batches import ItemBatch
from peftrec.models.adaptation_schedule import AdaptationSchedule
from peftrec.models.precision import product_dtype
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.stored_precision import restore
from peftrec.models.towers.tower import Tower
from peftrec.models.towers.towers import StateReader, Towers

_ROWS = 8
"""Numbers of items are rounded up to a multiple of it where every number costs (see `FrozenStatesEncoder.forward`)."""


class ItemEncoder(nn.Module, ABC):
    """What a strategy builds; the rest of the model sees `forward` alone."""

    towers: Towers
    """The towers that run in training; without any where hidden states come from a store, or ids are read."""

    schedule: AdaptationSchedule | None = None
    """What the adaptation does besides gradient steps, where it does anything."""

    @abstractmethod
    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        """Encode a batch of distinct items."""

    def introduced(self) -> Iterable[nn.Parameter]:
        """Yield parameters that the strategy put beside the towers; those inside them are found by identity."""
        return ()

    def finer_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Return groups that may have learning rates of their own, by the names that the strategy declares."""
        return {}

    def image_projection(self) -> nn.Linear | None:
        """Return the layer that brings images to the embedding dimension; None where there is no such single layer."""
        return None


class FusionHead(nn.Module):
    """The head of the embedded methods: GELU(W h + b) per tower, concatenated image first, then one linear layer
    (published code; facts and counts in the strategies' tests)."""

    def __init__(self, widths: dict[TowerName, int], *, embedding_dim: int) -> None:
        super().__init__()
        self.names = tuple(widths)
        self.project = nn.ModuleDict({str(name): nn.Linear(width, embedding_dim) for name, width in widths.items()})
        self.fusion = nn.Linear(len(widths) * embedding_dim, embedding_dim)

    def forward(self, vectors: dict[TowerName, Float[Tensor, "item hidden"]]) -> Float[Tensor, "item dim"]:
        """Fuse the towers' output vectors."""
        projected = [nn.functional.gelu(self.project[name](vectors[name])) for name in self.names]
        return self.fusion(torch.cat(projected, dim=-1))

    def image_projection(self) -> nn.Linear | None:
        """Return the image tower's projection, where there is one."""
        return cast("nn.Linear", self.project["image"]) if "image" in self.project else None


class OutputStateHead(nn.Module):
    """The fusion head on the one state that is read."""

    def __init__(self, widths: dict[TowerName, int], *, embedding_dim: int) -> None:
        super().__init__()
        self.head = FusionHead(widths, embedding_dim=embedding_dim)

    def forward(self, states: dict[TowerName, Float[Tensor, "item state hidden"]]) -> Float[Tensor, "item dim"]:
        return self.head({name: tensor[:, 0] for name, tensor in states.items()})

    def image_projection(self) -> nn.Linear | None:
        """Return the head's."""
        return self.head.image_projection()


class TowerItemEncoder(ItemEncoder):
    """Towers whose parameters (some, all or introduced ones) train, and the fusion head."""

    def __init__(self, towers: Towers, *, embedding_dim: int, schedule: AdaptationSchedule | None = None) -> None:
        super().__init__()
        self.towers = towers
        self.schedule = schedule
        self.head = FusionHead(towers.widths(), embedding_dim=embedding_dim)

    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        return self.head(self.towers(batch))

    def image_projection(self) -> nn.Linear | None:
        return self.head.image_projection()


class BesideTower(Protocol):
    """A network beside one tower, which it runs: `peftrec.models.side_networks.write_back` has one that also writes to
    it, `token_reader` one that only reads."""

    def __call__(self, tower: Tower, inputs: Any) -> Float[Tensor, "item out"]:
        """Encode items by the tower, as a rule to vectors of its width."""
        ...


class BesideTowersEncoder(ItemEncoder):
    """Frozen towers, a network beside each that runs it, and the fusion head."""

    def __init__(
        self,
        towers: Towers,
        beside: Mapping[TowerName, nn.Module],
        *,
        embedding_dim: int,
        widths: dict[TowerName, int] | None = None,
    ) -> None:
        """`widths` are those of what the networks make, where it is not their towers'."""
        super().__init__()
        self.towers = towers.requires_grad_(False)
        self.beside = nn.ModuleDict({str(name): network for name, network in beside.items()})
        self.head = FusionHead(towers.widths() if widths is None else widths, embedding_dim=embedding_dim)

    def introduced(self) -> Iterable[nn.Parameter]:
        return self.beside.parameters()

    def image_projection(self) -> nn.Linear | None:
        return self.head.image_projection()

    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        vectors: dict[TowerName, Tensor] = {}
        towers = self.towers.present()
        for name, inputs in self.towers.inputs(batch).items():
            network = cast("BesideTower", self.beside[name])
            vectors[name] = network(towers[name], inputs)
        return self.head(vectors)


@runtime_checkable
class ProjectsImages(Protocol):
    """A network on hidden states that has one layer from images to the embedding dimension."""

    def image_projection(self) -> nn.Linear | None:
        """Return it; None where no image is read."""
        ...


class FrozenStatesEncoder(ItemEncoder):
    """A network on hidden states of frozen towers, live or stored: from the states on, the same code."""

    def __init__(
        self,
        towers: Towers,
        network: nn.Module,
        *,
        indices: Mapping[TowerName, tuple[int, ...]],
        introduced: Iterable[nn.Parameter] = (),
        finer_groups: Mapping[str, Iterable[nn.Parameter]] | None = None,
    ) -> None:
        super().__init__()
        self.towers = towers.requires_grad_(False)
        self.network = network
        self.indices = indices
        self._introduced = tuple(introduced)
        self._finer_groups = {name: tuple(parameters) for name, parameters in (finer_groups or {}).items()}
        self._reader: StateReader | None = None

    def read_from(self, reader: StateReader) -> None:
        """Take states from a store from now on, and let the towers go."""
        self._reader = reader
        self.towers = Towers()

    def introduced(self) -> Iterable[nn.Parameter]:
        return self._introduced

    def finer_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        return self._finer_groups

    def image_projection(self) -> nn.Linear | None:
        return self.network.image_projection() if isinstance(self.network, ProjectsImages) else None

    def states(self, batch: ItemBatch) -> dict[TowerName, Float[Tensor, "item state hidden"]]:
        """Return the states of a batch: its own, those of the store, or the towers' without a gradient."""
        if batch.states is None and self._reader is None:
            with torch.no_grad():
                return self.towers.states(batch, self.indices)
        if batch.states is not None:
            stored: dict[TowerName, Any] = dict(batch.states)
        else:
            assert self._reader is not None
            stored = dict(self._reader.read(batch.items))
        dtype = next(self.network.parameters()).dtype  # bfloat16 where the whole model is
        scales = {} if self._reader is None else self._reader.scales
        return {name: restore(states, dtype, scales.get(name)) for name, states in stored.items()}

    def forward(self, batch: ItemBatch) -> Float[Tensor, "item dim"]:
        """Encode a batch of distinct items.

        On a CPU, products in 16 bits come from oneDNN, which compiles a kernel for every shape and keeps 1,024 of
        them. Batches hold so many different numbers of items that half of the steps of every epoch would compile
        (0.6 ms a product). So a few more rows are read, item 0 again, and dropped at the end without a gradient.
        """
        return self.network(self.states(self._rounded_up(batch)))[: len(batch.items)]

    def _rounded_up(self, batch: ItemBatch) -> ItemBatch:
        is_read_here = self._reader is not None and batch.states is None
        if not is_read_here or not compiles_every_shape(next(self.network.parameters())):
            return batch
        return replace(batch, items=nn.functional.pad(batch.items, (0, -len(batch.items) % _ROWS)))


def start_xavier_normal(layer: nn.Linear | None) -> None:
    """Start a layer as the published IISAN code starts its image projection; nothing to do where there is none."""
    if layer is not None:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)


def compiles_every_shape(parameter: Tensor) -> bool:
    """Say whether products with this parameter take kernels that are compiled for one shape."""
    return parameter.device.type == "cpu" and product_dtype(parameter).itemsize < torch.float32.itemsize
