"""What is changed in encoders of some families once they are built, where transformers' own code does not hold here."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel


def _keep_places_still(encoder: Any) -> None:
    from peftrec.models.towers.still_places import StillPlaces

    encoder.rope_embeddings = StillPlaces(encoder.config)


ADJUSTMENTS: dict[str, Callable[[PreTrainedModel], None]] = {"DINOv3ViTModel": _keep_places_still}
"""By class in transformers."""
