"""Images as patches at their own proportions, as an encoder of any shape (SigLIP 2 NaFlex) reads them."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from peftrec.data.batches import PatchBatch
from peftrec.data.choices import Resampling

COLOURS = 3
_SMALLEST_SCALE, _LARGEST_SCALE, _PRECISION = 1e-6, 100.0, 1e-5
"""Between which scales the published processor looks for one, and how closely."""


@dataclass(frozen=True, kw_only=True)
class PatchTransform:
    """Resizes to as many patches as allowed, each side to a multiple of a patch, and cuts."""

    patch_size: int
    most_patches: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resampling: Resampling = "bilinear"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image's pixels: patches, and the bytes of each."""
        return self.most_patches, self.patch_size**2 * COLOURS

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns of patches of an image of this size, by the published search.

        Each side is rounded up to whole patches, so that the largest scale that fits has no closed form.
        """

        def fitted(scale: float) -> tuple[int, int]:
            rows, columns = (max(1, math.ceil(side * scale / self.patch_size)) for side in (height, width))
            return rows, columns

        low, high = _SMALLEST_SCALE, _LARGEST_SCALE
        while high - low >= _PRECISION:
            middle = (low + high) / 2
            low, high = (middle, high) if math.prod(fitted(middle)) <= self.most_patches else (low, middle)
        return fitted(low)

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Return the bytes of the patches, row by row, and zeros up to the most that an image may have."""
        rows, columns = self.grid(image.height, image.width)
        size = (columns * self.patch_size, rows * self.patch_size)
        if image.size != size:
            image = image.resize(size, Image.Resampling[self.resampling.upper()])
        cut = np.asarray(image, dtype=np.uint8).reshape(rows, self.patch_size, columns, self.patch_size, COLOURS)
        padded = np.zeros(self.shape, dtype=np.uint8)
        padded[: rows * columns] = cut.transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1)
        return padded

    def batch(self, pixels: npt.NDArray[np.uint8], grids: npt.NDArray[np.int64]) -> PatchBatch:
        """Put images beside each other."""
        return PatchBatch(pixels=torch.from_numpy(pixels), grids=torch.from_numpy(grids), mean=self.mean, std=self.std)

    def blank(self, num_items: int) -> PatchBatch:
        """Return images of unsaid pixels, all of the most patches, on torch's default device."""
        return PatchBatch(
            pixels=torch.empty(num_items, *self.shape, dtype=torch.uint8),
            grids=torch.tensor([[1, self.most_patches]]).expand(num_items, 2),
            mean=self.mean,
            std=self.std,
        )

    def describe(self) -> str:
        """Say what it does, for a person."""
        return f"images resized to at most {self.most_patches} patches of {self.patch_size} x {self.patch_size}"
