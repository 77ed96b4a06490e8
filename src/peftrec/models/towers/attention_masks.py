"""Which tokens of a title attend to which, prepared for transformers: given the plain mask it would ask on the host
whether any title is padded, or whether several are packed into a row, and so wait for a GPU."""

import torch
from jaxtyping import Bool
from torch import Tensor
from transformers import PretrainedConfig

from peftrec.models.towers.family import Family

SLIDING = "sliding_attention"
"""transformers' word for blocks that attend within a window, where the config lists a kind for each block."""


def attention_mask(
    mask: Bool[Tensor, "item word"], *, family: Family, config: PretrainedConfig
) -> Tensor | dict[str, Tensor] | None:
    """Return what the encoder takes as its `attention_mask`: of several kinds of blocks one each, and nothing for an
    encoder that makes its own causal mask, which never sees padding on the right."""
    if family.is_causal and not family.keeps_cache:
        return None
    if config._attn_implementation != "sdpa":
        return mask.long()  # as numbers: DeBERTa's convolution subtracts it from one
    num_words = mask.shape[1]
    seen = mask.new_ones(1, 1, num_words, num_words).tril() if family.is_causal else mask[:, None, None, :]
    if SLIDING not in (getattr(config, "layer_types", None) or ()):
        return seen
    places = torch.arange(num_words, device=mask.device)
    distance = (places[:, None] - places).abs()
    reach = config.sliding_window + family.windows_include_their_end
    # Padding far from any word would see nothing, and nothing has no mean: it sees itself.
    return {"full_attention": seen, SLIDING: (seen & (distance < reach)) | (distance == 0)}
