"""One made-up item through a tower when it is loaded: what its config or its weights cannot do is said before any item
of the data is encoded, and no learning rate is blamed for it later."""

import math

import torch

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.configs import COLOURS, sides_of
from peftrec.models.towers.encoders import explaining_config
from peftrec.models.towers.tower import Tower

NUM_TOKENS = 2


def check_encodes(tower: Tower, *, key: str) -> None:
    """Raise SettingsError where the tower cannot encode an item, or makes numbers of it that are not finite."""
    with torch.no_grad(), explaining_config(key, "encode an item"):
        vector = tower(_made_up_item(tower))
    if not bool(torch.isfinite(vector).all()):
        raise SettingsError(
            f"{key}: the encoder makes numbers of an item that are not finite, before any training: its weights or its "
            "config are damaged; take another checkpoint"
        )


def _made_up_item(tower: Tower) -> TextBatch | ImageBatch | PatchBatch:
    if tower.family.modality == "text":
        shape = (1, NUM_TOKENS)
        return TextBatch(token_ids=torch.zeros(shape, dtype=torch.long), mask=torch.ones(shape, dtype=torch.bool))
    config, colours = tower.encoder.config, (0.5,) * COLOURS
    if tower.family.pads_patches:
        black = torch.zeros(1, 1, COLOURS * math.prod(sides_of(config.patch_size)), dtype=torch.uint8)
        return PatchBatch(pixels=black, grids=torch.ones(1, 2, dtype=torch.long), mean=colours, std=colours)
    size = sides_of(config.patch_size if tower.family.fits_any_size else config.image_size)
    height, width = (side * getattr(config, "spatial_merge_size", 1) for side in size)
    black = torch.zeros(1, COLOURS, height, width, dtype=torch.uint8)
    return ImageBatch(pixels=black, mean=colours, std=colours)
