"""Named batches: what a step sees. A batch encodes its distinct items once; sequences point into them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor


class TensorBatch:
    """Base of batches: frozen dataclasses of tensors, of other batches, of mappings of names to either, and of plain
    values that stay on the host."""

    def apply(self, change: Callable[[Any], Any]) -> Self:
        """Return the batch with `change` applied to its tensors and to the batches in it."""
        changed: dict[str, Any] = {}
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if isinstance(value, Mapping):
                changed[each.name] = {name: change(part) for name, part in value.items()}
            elif isinstance(value, Tensor | TensorBatch):
                changed[each.name] = change(value)
        return replace(self, **changed)  # type: ignore[type-var]

    def to(self, device: torch.device) -> Self:
        """Copy to a device; from pinned memory to CUDA without waiting."""
        is_cuda = device.type == "cuda"
        return self.apply(
            lambda part: part.to(device) if isinstance(part, TensorBatch) else part.to(device, non_blocking=is_cuda)
        )

    def tensors(self) -> Iterator[Tensor]:
        """Yield its tensors and those of the batches in it."""
        for each in fields(self):  # type: ignore[arg-type]
            value: Any = getattr(self, each.name)
            for part in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(part, Tensor):
                    yield part
                elif isinstance(part, TensorBatch):
                    yield from part.tensors()

    def pin_memory(self) -> Self:
        """Copy to page-locked memory; a DataLoader with `pin_memory` calls it."""
        return self.apply(lambda part: part.pin_memory())


@dataclass(frozen=True, kw_only=True)
class TextBatch(TensorBatch):
    """Tokens of titles, padded on the right to the longest title of the batch."""

    token_ids: Int[Tensor, "item word"]
    mask: Bool[Tensor, "item word"]


@dataclass(frozen=True, kw_only=True)
class ImageBatch(TensorBatch):
    """Pixels as bytes; they are normalised on the device, so that a quarter of the bytes travels."""

    pixels: UInt8[Tensor, "item channel height width"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalised(self, dtype: torch.dtype) -> Float[Tensor, "item channel height width"]:
        """Return (pixels / 255 - mean) / std.

        By channel and with plain numbers: constants made on a device would make the host wait for it.
        """
        return _normalised(self.pixels, self.mean, self.std, axis=1, dtype=dtype)


@dataclass(frozen=True, kw_only=True)
class PatchBatch(TensorBatch):
    """Patches of images of any proportions, row by row, padded behind to the most that an image may have."""

    pixels: UInt8[Tensor, "item patch colour"]
    """Of a patch the colours of each of its pixels."""
    grids: Int[Tensor, "item axis"]
    """Rows and columns of patches of each image."""
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def mask(self) -> Bool[Tensor, "item patch"]:
        """Which patches are the image's."""
        places = torch.arange(self.pixels.shape[1], device=self.grids.device)
        return places < self.grids.prod(dim=1, keepdim=True)

    def normalised(self, dtype: torch.dtype) -> Float[Tensor, "item patch colour"]:
        """Return (pixels / 255 - mean) / std, as an `ImageBatch` does."""
        pixels = self.pixels.unflatten(2, (-1, len(self.mean)))
        return _normalised(pixels, self.mean, self.std, axis=3, dtype=dtype).flatten(2)


def _normalised(
    pixels: Tensor, means: tuple[float, ...], stds: tuple[float, ...], *, axis: int, dtype: torch.dtype
) -> Tensor:
    normalised = pixels.to(dtype) / 255.0
    for channel, mean, std in zip(normalised.unbind(axis), means, stds, strict=True):
        channel.sub_(mean).div_(std)
    return normalised


@dataclass(frozen=True, kw_only=True)
class TokenBatch(TensorBatch):
    """Stored hidden states of all tokens of items, as they are stored, padded on the right to the most tokens of the
    batch. What stands in the places of padding is some token's state."""

    states: Shaped[Tensor, "item token state kept"]
    mask: Bool[Tensor, "item token"]


StateBatch = Mapping[str, Shaped[Tensor, "item state kept"] | TokenBatch]
"""By tower, hidden states of items as they are stored, pooled or of all tokens."""


@dataclass(frozen=True, kw_only=True)
class FeatureBatch(TensorBatch):
    """What someone computed before, in the precision of its file."""

    states: Float[Tensor, "item state hidden"]


@dataclass(frozen=True, kw_only=True)
class ItemBatch(TensorBatch):
    """Distinct items; content is absent where the encoder reads ids or stored hidden states."""

    items: Int[Tensor, " item"]
    """Indices into the candidates."""
    contents: Mapping[str, TextBatch | ImageBatch | PatchBatch | FeatureBatch] = field(default_factory=dict)
    """By tower, what it encodes."""
    states: StateBatch | None = None
    """What the loader read from a hidden-state store that the device does not hold."""

    def part(self, rows: slice) -> "ItemBatch":
        """Return some of the items, with their content and states."""

        def cut(value: Any) -> Any:
            return value.apply(cut) if isinstance(value, TensorBatch) else value[rows]

        return self.apply(cut)

    def content(self, tower: str) -> Any:
        """Return what a tower encodes, a batch of the kind that it reads."""
        if tower not in self.contents:
            raise ValueError(f"the batch carries no {tower}: it was collated for an encoder without that tower")
        return self.contents[tower]


@dataclass(frozen=True, kw_only=True)
class GlobalBatch(TensorBatch):
    """What a process must know of a batch of which it holds only a part of the users."""

    pool: Int[Tensor, " pool"]
    """Indices of the distinct items that its positions are scored against."""
    multiplicity: Float[Tensor, " pool"]
    """How often each item of the pool stands in the windows that it was taken from."""
    sizes: tuple[int, ...]
    """How many items of the pool each process encodes, in the order of ranks; empty where this one encodes all."""
    weight: float
    """Factor of this process's mean loss, such that the mean over processes is the mean over all positions."""
    num_users: int
    """Users of the whole batch."""


@dataclass(frozen=True, kw_only=True)
class SequenceBatch(TensorBatch):
    """Training windows of some users, padded on the left, and their distinct items."""

    items: ItemBatch
    """What this process encodes: the batch's distinct items, or its part of them."""
    sequences: Int[Tensor, "user next_step"]
    """Row of the batch's distinct items at each place; 0 where `mask` is false."""
    mask: Bool[Tensor, "user next_step"]
    times: Shaped[Tensor, "user next_step"] | None = None
    """When each item was taken, in the unit of the data; null where the user encoder does not read it."""
    drawn: Bool[Tensor, " pool"] | None = None
    """Which of the items that its positions are scored against were drawn beside the batch; null where none were."""
    positions: Int[Tensor, " position"] | None = None
    """Places in the flattened `mask[:, :-1]` that are no padding. The loader lists them: how many there are is then
    known without waiting for the device, and where a step is planned. Null where nobody listed them."""
    whole: GlobalBatch | None = None
    """Null where this is the whole batch."""

    @property
    def num_users(self) -> int:
        """Users of the whole batch, on whatever processes."""
        return len(self.mask) if self.whole is None else self.whole.num_users
