"""What is changed in encoders of some families once they are built, where transformers' own code does not hold here."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel


def _keep_places_still(encoder: Any) -> None:
    from peftrec.models.towers.still_places import StillPlaces

    encoder.rope_embeddings = StillPlaces(encoder.config)


def _resample_at_once(encoder: Any) -> None:
    from peftrec.models.towers.patch_places import resampled_places

    encoder.embeddings.resize_positional_embeddings = resampled_places
    encoder.use_head = False  # it is left out, and would be called with a mask


def _attend_within_images(encoder: Any) -> None:
    from peftrec.models.towers.qwen_vision import AttentionWithinImages

    for block in encoder.blocks:
        block.attn = AttentionWithinImages(block.attn)


ADJUSTMENTS: dict[str, Callable[[PreTrainedModel], None]] = {
    "DINOv3ViTModel": _keep_places_still,
    "Siglip2VisionModel": _resample_at_once,
    "Qwen2_5_VisionTransformerPretrainedModel": _attend_within_images,
    "Qwen3VLVisionModel": _attend_within_images,
}
"""By class in transformers."""
