"""Chunks of items through frozen towers, fast: content is prepared and results are fetched while the towers work."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.errors import StoreError
from peftrec.hidden_states.channels import EXACT_DTYPE
from peftrec.hidden_states.key import StoreKey
from peftrec.hidden_states.rounding import Sums, squared_sums
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.stored_precision import StoredPrecision, keep
from peftrec.models.towers.towers import Towers

Items = npt.NDArray[np.int64]
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class StateSource:
    """Everything that states are computed from."""

    towers: Towers
    content: ItemContent
    item_ids: Sequence[str]
    device: torch.device = _CPU
    """Where the towers are."""


class EncodedTower(NamedTuple):
    """What one tower made of a chunk; a row is an item, or a token of one."""

    kept: Shaped[Tensor, "row state kept"]
    """The states, as they are kept."""
    is_finite: Bool[Tensor, " row"]
    rounding: Float[Tensor, "state 2"]
    """See peftrec.hidden_states.rounding."""


@dataclass(frozen=True)
class EncodedChunk:
    """States on their way to the CPU."""

    number: int
    items: Items
    rows: dict[TowerName, Items]
    """By tower, where its rows belong in its array."""
    towers: dict[TowerName, EncodedTower]
    is_here: torch.cuda.Event | None

    def wait(self) -> None:
        """Return when everything is on the CPU."""
        if self.is_here is not None:
            self.is_here.synchronize()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the states."""
        self.wait()
        return {str(name): tower.kept.numpy() for name, tower in self.towers.items()}

    def rounding(self) -> Sums:
        """Return what keeping them so takes from them."""
        self.wait()
        return {str(name): tower.rounding.numpy() for name, tower in self.towers.items()}


class ChunkEncoder:
    """Computes the states that a key describes, chunk by chunk."""

    def __init__(
        self,
        source: StateSource,
        key: StoreKey,
        *,
        num_threads: int,
        offsets: Mapping[TowerName, npt.NDArray[np.int64]] | None = None,
    ) -> None:
        """Encode the items of `source`; `offsets` say where each item's tokens begin, where those are kept."""
        self.source = source
        self.offsets = offsets
        self.indices: dict[TowerName, tuple[int, ...]] = {
            name: key.towers[name].states for name in source.towers.present()
        }
        self.precision: StoredPrecision = EXACT_DTYPE if key.has_scales else key.dtype
        self.compute = getattr(torch, key.compute)
        self.num_threads = num_threads

    def encode(self, chunks: Iterable[tuple[int, Items]]) -> Generator[EncodedChunk]:
        """Yield the chunks in their order, each while the next one is computed.

        Raises StoreError where a state is not a finite number of the store's dtype.
        """
        self.source.towers.eval()
        with _plain_precision(), ThreadPoolExecutor(self.num_threads) as pool:
            computing: deque[EncodedChunk] = deque()
            for number, items, batch in self._prepared(pool, chunks):
                computing.append(self._start(number, items, batch))
                if len(computing) > 1:
                    yield self._checked(computing.popleft())
            yield from map(self._checked, computing)

    def _prepared(
        self, pool: ThreadPoolExecutor, chunks: Iterable[tuple[int, Items]]
    ) -> Iterator[tuple[int, Items, ItemBatch]]:
        """Yield content that threads have decoded and padded; they stay a few chunks ahead."""
        waiting: deque[tuple[int, Items, Future[ItemBatch]]] = deque()
        for number, items in chunks:
            waiting.append((number, items, pool.submit(self._prepare, items)))
            if len(waiting) > self.num_threads:
                yield _result(waiting.popleft())
        yield from map(_result, waiting)

    def _prepare(self, items: Items) -> ItemBatch:
        batch = self.source.content.batch(items)
        return batch.pin_memory() if self.source.device.type == "cuda" else batch

    def _start(self, number: int, items: Items, batch: ItemBatch) -> EncodedChunk:
        is_mixed = self.compute != torch.float32
        with torch.inference_mode(), torch.autocast(self.source.device.type, dtype=torch.bfloat16, enabled=is_mixed):
            rows, states = self._states(items, batch.to(self.source.device))
            towers = {name: self._kept(tensor) for name, tensor in states.items()}
        if self.source.device.type != "cuda":
            return EncodedChunk(number, items, rows, towers, None)
        here = {name: EncodedTower(*map(_to_pinned, tower)) for name, tower in towers.items()}
        is_here = torch.cuda.Event()
        is_here.record()
        return EncodedChunk(number, items, rows, here, is_here)

    def _states(
        self, items: Items, batch: ItemBatch
    ) -> tuple[dict[TowerName, Items], dict[TowerName, Float[Tensor, "row state hidden"]]]:
        """Return the rows that the items take in each tower's array, and what is to stand there; no padding."""
        if self.offsets is None:
            states = self.source.towers.states(batch, self.indices)
            return dict.fromkeys(states, items), states
        rows: dict[TowerName, Items] = {}
        flat: dict[TowerName, Tensor] = {}
        for name, tokens in self.source.towers.token_states(batch, self.indices).items():
            starts = self.offsets[name][items]
            lengths = self.offsets[name][items + 1] - starts
            rows[name] = _spans(starts, lengths)
            places = _spans(np.arange(len(items)) * tokens.states.shape[1], lengths)
            flat[name] = tokens.states.flatten(0, 1)[torch.from_numpy(places).to(self.source.device)]
        return rows, flat

    def _kept(self, states: Float[Tensor, "row state hidden"]) -> EncodedTower:
        kept = keep(states, self.precision)
        is_finite = torch.isfinite(kept if kept.is_floating_point() else states).all(dim=2).all(dim=1)
        return EncodedTower(kept=kept, is_finite=is_finite, rounding=squared_sums(states, kept))

    def _checked(self, chunk: EncodedChunk) -> EncodedChunk:
        chunk.wait()
        for name, tower in chunk.towers.items():
            is_finite = tower.is_finite.numpy()
            if not is_finite.all():
                item = self.source.item_ids[self._item_at(name, int(chunk.rows[name][int(np.argmin(is_finite))]))]
                raise StoreError(f"the {name} tower gives item {item!r} a state that {self._complaint()}")
        return chunk

    def _item_at(self, name: TowerName, row: int) -> int:
        return row if self.offsets is None else int(np.searchsorted(self.offsets[name], row, side="right")) - 1

    def _complaint(self) -> str:
        if self.precision == "float16":
            return "is no finite float16 number; set hidden_states.dtype=bfloat16 or float32"
        if self.compute == torch.bfloat16:
            return "is no finite number; set hidden_states.compute=float32, or check the tower's weights"
        return "is no finite number; check the tower's weights"


def _spans(starts: Items, lengths: Items) -> Items:
    """Return all places of spans, behind each other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


def _to_pinned(tensor: Tensor) -> Tensor:
    """Start copying to memory from which the host can read once the device says so."""
    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor, non_blocking=True)


def _result(waiting: tuple[int, Items, Future[ItemBatch]]) -> tuple[int, Items, ItemBatch]:
    number, items, future = waiting
    return number, items, future.result()


@contextmanager
def _plain_precision() -> Iterator[None]:
    """Multiply float32 as float32, whatever training allows: a store serves runs of every precision."""
    former, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(
            enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(former)
