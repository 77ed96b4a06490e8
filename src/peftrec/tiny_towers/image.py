"""The tiny ViT: it learns to paint a whole picture from the [CLS] state of a noisy one with hidden patches.

Colour, pattern and silhouette are what a painter must know. Contrasting two views (SimCLR) was tried first: exact
colour and place tell synthetic pictures apart, and [CLS] told pattern and kind no better than with random weights.
"""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from peftrec.tiny_towers.optimisation import endless_batches, optimise

HIDDEN, NUM_BLOCKS, NUM_HEADS = 64, 4, 4
INITIAL_SPREAD = 0.1
"""ViT's 0.02 is for states twelve times as wide."""
SIDE, PATCH = 32, 8
NUM_PATCHES = (SIDE // PATCH) ** 2
BATCH_SIZE, NUM_STEPS, PEAK_LEARNING_RATE = 128, 700, 2e-3
MAX_SHIFT = 1
"""Pixels that a view may move; colours stay, as they are what the tower should see."""
HIDDEN_SHARE = 0.2
"""Patches of a view that are hidden."""
NOISE = 0.05
PAINTER_WIDTH = 256


def build_vit() -> ViTModel:
    """Build the tiny ViT with random weights."""
    config = ViTConfig(
        hidden_size=HIDDEN,
        initializer_range=INITIAL_SPREAD,
        num_hidden_layers=NUM_BLOCKS,
        num_attention_heads=NUM_HEADS,
        intermediate_size=4 * HIDDEN,
        image_size=SIDE,
        patch_size=PATCH,
    )
    return ViTModel(config, add_pooling_layer=False)


def normalise(pixels: npt.NDArray[np.uint8]) -> Float[Tensor, "item channel height width"]:
    """Bring pixels to -1..1, as the shipped preprocessor does (mean and standard deviation 0.5)."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)


def shifted(images: Float[Tensor, "item channel height width"]) -> Float[Tensor, "item channel height width"]:
    """Move each image by a few pixels, repeating its edge."""
    count = len(images)
    padded = functional.pad(images, [MAX_SHIFT] * 4, mode="replicate")
    top, left = torch.randint(0, 2 * MAX_SHIFT + 1, (2, count, 1))
    rows, columns = top + torch.arange(SIDE), left + torch.arange(SIDE)
    item = torch.arange(count)[:, None, None]
    return padded[item, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Painter(nn.Sequential):
    """Paints the whole picture from its [CLS] state, which must therefore hold what the picture shows."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(HIDDEN, PAINTER_WIDTH),
            nn.GELU(),
            nn.Linear(PAINTER_WIDTH, 3 * SIDE * SIDE),
            nn.Unflatten(1, (3, SIDE, SIDE)),
        )


def hide(
    images: Float[Tensor, "item channel height width"], is_hidden: Bool[Tensor, "item patch"]
) -> Float[Tensor, "item channel height width"]:
    """Paint hidden patches grey."""
    side = SIDE // PATCH
    mask = is_hidden.reshape(-1, 1, side, side).repeat_interleave(PATCH, dim=2).repeat_interleave(PATCH, dim=3)
    return images.masked_fill(mask, 0.0)


def pretrain_vit(pixels: npt.NDArray[np.uint8], *, seed: int, num_steps: int = NUM_STEPS) -> ViTModel:
    """Train a tiny ViT on unlabelled pictures: painting them from [CLS]."""
    torch.manual_seed(seed)
    vit = build_vit()
    images = normalise(pixels)
    painter = Painter()

    def loss_of(batch: Tensor) -> Tensor:
        target = shifted(images[batch])
        shown = hide(target + NOISE * torch.randn(target.shape), torch.rand(len(batch), NUM_PATCHES) < HIDDEN_SHARE)
        return functional.mse_loss(painter(vit(pixel_values=shown).last_hidden_state[:, 0]), target)

    batches = endless_batches(len(images), BATCH_SIZE)
    optimise(nn.ModuleList([vit, painter]), loss_of, batches, num_steps=num_steps, peak=PEAK_LEARNING_RATE)
    return vit
