"""Where DINOv3's patches stand, without the random numbers of its pretraining."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.models.dinov3_vit.modeling_dinov3_vit import (
    DINOv3ViTRopePositionEmbedding,
    get_patches_center_coordinates,
)

from peftrec.models.towers.configs import sides_of


class StillPlaces(DINOv3ViTRopePositionEmbedding):
    """DINOv3's angles of the patches as they are in evaluation mode, in every mode.

    transformers' class rescales all places by a random number in training, as in pretraining, though no dropout is
    declared; and it keeps what it computed for all encoders of a process, of tensors without values too.
    """

    def forward(self, pixel_values: Float[Tensor, "item channel height width"]) -> tuple[Tensor, Tensor]:
        rows, columns = sides_of(self.config.patch_size)
        grid = (pixel_values.shape[2] // rows, pixel_values.shape[3] // columns)
        places = get_patches_center_coordinates.__wrapped__(*grid, torch.float32, pixel_values.device)
        angles = (2 * math.pi * places[:, :, None] * self.inv_freq).flatten(1, 2).tile(2)
        return angles.cos().to(pixel_values.dtype), angles.sin().to(pixel_values.dtype)
