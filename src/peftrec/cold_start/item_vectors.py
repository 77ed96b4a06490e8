"""What the towers of a run's settings say about each of its items, whatever the run's strategy reads."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.cold_start.content import CLIP, standardise
from peftrec.data.items import Items
from peftrec.errors import SettingsError
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content

_BATCH = 256  # items encoded at once


@torch.inference_mode()
def item_vectors(settings: Settings, items: Items, device: torch.device) -> Float[Tensor, "item feature"]:
    """Return the towers' output vectors, or ready features, with columns standardised, image before text.

    Raises SettingsError where the settings name no tower: nothing is then known of a cold item.
    """
    if not settings.towers.modalities:
        raise SettingsError("towers.text and towers.image of the run are null, so that a cold item has no content")
    towers = settings.towers.load(seed=settings.seed).to(device).eval()
    content = load_content(settings, items, keep_bytes=0)
    order = content.encoding_order(len(items))
    chunks = np.array_split(order, range(_BATCH, len(order), _BATCH))
    encoded = [torch.cat(list(towers(content.batch(chunk).to(device)).values()), dim=1).float() for chunk in chunks]
    vectors = torch.empty(len(items), encoded[0].shape[1])
    vectors[torch.from_numpy(order)] = torch.cat(encoded).cpu()
    return torch.from_numpy(standardise(vectors.numpy(), clip=CLIP)).to(device)
