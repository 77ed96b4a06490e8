"""The vision halves of Qwen2.5-VL and Qwen3-VL over images of one size.

transformers packs the patches of all images behind each other, and attends to each image, or to each window of one, in
a call of its own; windows are put into an order of their own first. Images of one size need none of this: here blocks
take `[item, token, hidden]` as those of other families do, and a mask says which patches stand in one window. The
numbers are the same. Of a picture both frames of a patch are the picture itself, as the processor has it, and patches
come in the order in which the merger joins them, block by block.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class AttentionWithinImages(nn.Module):
    """The attention of a block, whose layers it takes over, on images beside each other."""

    def __init__(self, packed: Any) -> None:
        super().__init__()
        self.qkv = packed.qkv
        self.proj = packed.proj
        self.num_heads = int(packed.num_heads)

    def forward(
        self,
        hidden_states: Float[Tensor, "item token hidden"],
        *,
        position_embeddings: tuple[Tensor, Tensor],
        is_near: Bool[Tensor, "token token"] | None,
        **_: Any,
    ) -> Float[Tensor, "item token hidden"]:
        """Attend; `is_near` says who sees whom, null where all see all."""
        heads = self.qkv(hidden_states).unflatten(2, (3, self.num_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        query, key = (_rotated(each, *position_embeddings) for each in (query, key))
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=is_near)
        return self.proj(attended.transpose(1, 2).flatten(2))


def _rotated(
    heads: Float[Tensor, "item head token head_dim"], cosines: Tensor, sines: Tensor
) -> Float[Tensor, "item head token head_dim"]:
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (heads.float() * cosines.float() + turned * sines.float()).to(heads.dtype)


def encode_images(
    encoder: Any, pixels: Float[Tensor, "item channel height width"], *, is_embedded: bool
) -> Float[Tensor, "item token hidden"]:
    """Return what leaves the last block; where `is_embedded`, the embedding layer answers with what enters the first,
    and of the pixels the size alone is seen."""
    config = encoder.config
    places = _places(pixels.shape[2] // config.patch_size, pixels.shape[3] // config.patch_size, config, pixels.device)
    states = encoder.patch_embed(pixels if is_embedded else _patches(pixels, config))
    states = states.reshape(len(pixels), len(places), -1)
    if hasattr(config, "num_position_embeddings") and not is_embedded:
        states = states + _learned(encoder.pos_embed.weight, places)
    rotation = encoder.rotary_pos_emb(states, places)
    windowed = _window_of(places, config)
    for index, block in enumerate(encoder.blocks):
        sees_all = windowed is None or index in config.fullatt_block_indexes
        states = block(states, cu_seqlens=None, position_embeddings=rotation, is_near=None if sees_all else windowed)
    return states


def _patches(pixels: Float[Tensor, "item channel height width"], config: Any) -> Float[Tensor, "patch colour"]:
    """Cut images into patches, and put two frames of each behind each other."""
    side, merge = config.patch_size, config.spatial_merge_size
    cut = pixels.unflatten(3, (-1, merge, side)).unflatten(2, (-1, merge, side))
    # item, channel, block row, row, down, block column, column, across
    blocks = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).flatten(0, 4)
    return blocks.unsqueeze(2).expand(-1, -1, config.temporal_patch_size, -1, -1).flatten(1)


def _places(rows: int, columns: int, config: Any, device: torch.device) -> Int[Tensor, "token axis"]:
    """Return row and column of each patch."""
    merge = config.spatial_merge_size
    down, across = (torch.arange(number, device=device) for number in (rows, columns))
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1)
    blocks = grid.unflatten(1, (-1, merge)).unflatten(0, (-1, merge))
    return blocks.transpose(1, 2).flatten(0, 3)


def _window_of(places: Int[Tensor, "token axis"], config: Any) -> Bool[Tensor, "token token"] | None:
    """Say which patches stand in one window; null where the family has none."""
    if not hasattr(config, "window_size"):
        return None
    side = config.window_size // config.spatial_merge_size // config.patch_size * config.spatial_merge_size
    windows = places // side
    return (windows[:, None] == windows[None, :]).all(dim=2)


def _learned(
    table: Float[Tensor, "position hidden"], places: Int[Tensor, "token axis"]
) -> Float[Tensor, "token hidden"]:
    """Resample a square table of places linearly to the grid, whose corners are the table's."""
    side = round(len(table) ** 0.5)
    points = torch.arange(side, device=places.device)
    largest = places.amax(dim=0).clamp(min=1)
    centres = places * (side - 1) / largest
    down, across = ((1 - (axis[:, None] - points).abs()).clamp(min=0) for axis in centres.unbind(1))
    with torch.autocast(table.device.type, enabled=False):  # places are added to what stays in full precision
        grid = table.unflatten(0, (side, side))
        return torch.einsum("tr,tc,rcd->td", down.to(table.dtype), across.to(table.dtype), grid)
