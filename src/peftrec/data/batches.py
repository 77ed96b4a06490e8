"""Named batches: what a step sees. A batch encodes its distinct items once; sequences point into them."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Tokens of titles, padded on the right to the longest title of the batch."""

    token_ids: Int[Tensor, "item word"]
    mask: Bool[Tensor, "item word"]

    def to(self, device: torch.device) -> "TextBatch":
        """Copy to a device."""
        return replace(self, token_ids=self.token_ids.to(device), mask=self.mask.to(device))


@dataclass(frozen=True, kw_only=True)
class ImageBatch:
    """Pixels as bytes; they are normalised on the device, so that a quarter of the bytes travels."""

    pixels: UInt8[Tensor, "item channel height width"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalised(self, dtype: torch.dtype) -> Float[Tensor, "item channel height width"]:
        """Return (pixels / 255 - mean) / std."""
        mean = torch.tensor(self.mean, device=self.pixels.device, dtype=dtype).view(-1, 1, 1)
        std = torch.tensor(self.std, device=self.pixels.device, dtype=dtype).view(-1, 1, 1)
        return (self.pixels.to(dtype) / 255.0 - mean) / std

    def to(self, device: torch.device) -> "ImageBatch":
        """Copy to a device."""
        return replace(self, pixels=self.pixels.to(device))


@dataclass(frozen=True, kw_only=True)
class ItemBatch:
    """Distinct items; content is absent where the encoder reads ids or stored hidden states."""

    items: Int[Tensor, " item"]
    """Indices into the candidates."""
    text: TextBatch | None = None
    image: ImageBatch | None = None

    def content(self, modality: Literal["text", "image"]) -> TextBatch | ImageBatch:
        """Return the content that a tower encodes."""
        content = self.text if modality == "text" else self.image
        if content is None:
            raise ValueError(f"the batch carries no {modality}: it was collated for an encoder without that tower")
        return content

    def to(self, device: torch.device) -> "ItemBatch":
        """Copy to a device."""
        return ItemBatch(
            items=self.items.to(device),
            text=None if self.text is None else self.text.to(device),
            image=None if self.image is None else self.image.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class SequenceBatch:
    """Training windows of some users, padded on the left, and their distinct items."""

    items: ItemBatch
    sequences: Int[Tensor, "user next_step"]
    """Row of `items` at each place; 0 where `mask` is false."""
    mask: Bool[Tensor, "user next_step"]

    def to(self, device: torch.device) -> "SequenceBatch":
        """Copy to a device."""
        return SequenceBatch(
            items=self.items.to(device), sequences=self.sequences.to(device), mask=self.mask.to(device)
        )
