"""How the encoder of each kind of family is called: on content, or on what stands in for it."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch
from peftrec.models.towers.attention_masks import attention_mask
from peftrec.models.towers.configs import COLOURS
from peftrec.models.towers.family import Family
from peftrec.models.towers.qwen_vision import encode_images


def last_state(
    encoder: Any, family: Family, inputs: TextBatch | ImageBatch | PatchBatch
) -> Float[Tensor, "item token hidden"]:
    """Return the last state of every token, as the encoder gives it."""
    if isinstance(inputs, TextBatch):
        return _of_titles(encoder, family, inputs.token_ids, inputs.mask)
    pixels = inputs.normalised(next(encoder.parameters()).dtype)
    if isinstance(inputs, PatchBatch):
        return _of_patches(encoder, family, pixels, inputs.mask, inputs.grids)
    if family.is_packed:
        return encode_images(encoder, pixels, is_embedded=False)
    last: Tensor = encoder(pixel_values=pixels).last_hidden_state
    return last


def last_state_above(
    encoder: Any, family: Family, mask: Bool[Tensor, "item token"], *, like: Tensor, image_size: tuple[int, int]
) -> Float[Tensor, "item token hidden"]:
    """Return the last state where the embedding layer answers with stored states: of tokens and pixels the encoder sees
    the number alone. `like` has the dtype and the device of what it computes."""
    if family.modality == "text":
        token_ids = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        return _of_titles(encoder, family, token_ids, mask)
    if family.pads_patches:
        return _of_patches(encoder, family, like, mask, like)
    pixels = like.new_empty(1).expand(len(mask), COLOURS, *image_size)
    if family.is_packed:
        return encode_images(encoder, pixels, is_embedded=True)
    last: Tensor = encoder(pixel_values=pixels).last_hidden_state
    return last


def _of_titles(
    encoder: Any, family: Family, token_ids: Int[Tensor, "item word"], mask: Bool[Tensor, "item word"]
) -> Float[Tensor, "item word hidden"]:
    options = {"use_cache": False} if family.keeps_cache else {}
    prepared = attention_mask(mask, family=family, config=encoder.config)
    last: Tensor = encoder(input_ids=token_ids, attention_mask=prepared, **options).last_hidden_state
    return last


def _of_patches(
    encoder: Any, family: Family, pixels: Tensor, mask: Bool[Tensor, "item patch"], grids: Tensor
) -> Float[Tensor, "item patch hidden"]:
    prepared = attention_mask(mask, family=family, config=encoder.config)
    options = {"pixel_attention_mask": prepared, "spatial_shapes": grids}
    last: Tensor = encoder(pixel_values=pixels, **options).last_hidden_state
    return last
