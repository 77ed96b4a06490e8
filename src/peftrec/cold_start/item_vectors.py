"""What the towers of a run's settings say about each of its items, whatever the run's strategy reads."""

import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.cold_start.content import CLIP, standardise
from peftrec.data.batches import ItemBatch
from peftrec.data.items import Items
from peftrec.errors import SettingsError
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content
from peftrec.training.encoding import encode_items


@torch.inference_mode()
def item_vectors(settings: Settings, items: Items, device: torch.device) -> Float[Tensor, "item feature"]:
    """Return the towers' output vectors, or ready features, with columns standardised, image before text.

    Raises SettingsError where the settings name no tower: nothing is then known of a cold item.
    """
    if not settings.towers.parts:
        raise SettingsError("towers.text and towers.image of the run are null, so that a cold item has no content")
    towers = settings.towers.load(seed=settings.seed).to(device).eval()
    content = load_content(settings.towers, items, keep_bytes=0)

    def encode(batch: ItemBatch) -> Float[Tensor, "item feature"]:
        return torch.cat(list(towers(batch).values()), dim=1).float()

    vectors = encode_items(encode, content, len(items), device=device).cpu().numpy()
    return torch.from_numpy(standardise(vectors, clip=CLIP)).to(device)
