"""Items with the content that the towers read, as tensors without values."""

import torch

from peftrec.data.batches import FeatureBatch, ImageBatch, ItemBatch, PatchBatch, TextBatch
from peftrec.models.towers.names import TowerName
from peftrec.planning.batches import BatchShape
from peftrec.settings.run import Settings
from peftrec.towers.pretrained import PretrainedImage
from peftrec.towers.ready_features import ReadyFeatures


def fake_items(settings: Settings, shape: BatchShape, device: str | None = None) -> ItemBatch:
    """Make items with the content that the towers read."""
    with torch.device(device or torch.get_default_device()):
        return _fake_items(settings, shape)


def _fake_items(settings: Settings, shape: BatchShape) -> ItemBatch:
    content: dict[TowerName, TextBatch | ImageBatch | PatchBatch | FeatureBatch] = {}
    for name, part in settings.towers.parts.items():
        if isinstance(part, ReadyFeatures):
            rows = part.features(name).states
            states = torch.empty(shape.num_items, *rows.shape[1:], dtype=getattr(torch, rows.dtype.name))
            content[name] = FeatureBatch(states=states)
        elif isinstance(part, PretrainedImage):
            content[name] = part.transform(name).blank(shape.num_items)
        else:
            size = (shape.num_items, shape.title_tokens[name])
            token_ids, mask = torch.empty(size, dtype=torch.int64), torch.empty(size, dtype=torch.bool)
            content[name] = TextBatch(token_ids=token_ids, mask=mask)
    items = torch.empty(shape.num_items, dtype=torch.int64)
    return ItemBatch(items=items, contents=content)
