"""What transformers itself makes of images in the vision halves of Qwen2.5-VL and Qwen3-VL."""

from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel, Qwen2VLImageProcessorPil
from transformers.vision_utils import get_vision_window_index

from peftrec.data.batches import ImageBatch


def packed_outputs(encoder: PreTrainedModel, inputs: ImageBatch) -> Any:
    """What transformers makes of the patches that its processor cuts, in the order in which the merger joins them."""
    config = encoder.config
    pictures = [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in inputs.pixels]
    sizes = {"patch_size": config.patch_size, "merge_size": config.spatial_merge_size, "do_resize": False}
    colours = {"image_mean": list(inputs.mean), "image_std": list(inputs.std)}
    cut = Qwen2VLImageProcessorPil(**sizes, **colours)(pictures, return_tensors="pt")
    grids = cut["image_grid_thw"]
    outputs = encoder(cut["pixel_values"], grid_thw=grids, output_hidden_states=True)
    order = torch.arange(int(grids.prod(dim=1).sum()))
    if hasattr(config, "window_size"):
        sides = {"window_size": config.window_size, "patch_size": config.patch_size}
        blocks, _ = get_vision_window_index(grids, spatial_merge_size=config.spatial_merge_size, **sides)
        order = order.unflatten(0, (-1, config.spatial_merge_size**2))[blocks].flatten().argsort()
    apart = [states[order].unflatten(0, (len(grids), -1)) for states in outputs.hidden_states]
    outputs.hidden_states, outputs.last_hidden_state = tuple(apart), apart[-1]
    return outputs
