"""What is said of an architecture: where it keeps its blocks, layers and last norm, how its states become one vector,
and what its image processor does."""

from dataclasses import dataclass, field
from typing import Literal

from transformers import PretrainedConfig
from transformers.utils.constants import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD

from peftrec.data.choices import Resampling
from peftrec.models.towers.names import Pooling


@dataclass(frozen=True, kw_only=True)
class PixelDefaults:
    """Resampling and normalisation of a family's image processor, for towers that bring no processor's file."""

    mean: tuple[float, ...] = tuple(IMAGENET_STANDARD_MEAN)
    std: tuple[float, ...] = tuple(IMAGENET_STANDARD_STD)
    resampling: Resampling = "bicubic"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: module paths below the encoder, and generic site names to paths below a block."""

    modality: Literal["text", "image"]
    model: str
    """Class in transformers."""
    blocks: str
    sites: dict[str, str]
    """Linear layers, and the two norms: `attention_norm` is the attention's own, whether it stands before it or after
    it and the residual, and `ffn_norm` the feed-forward network's; `ffn_gate` is there in gated networks alone."""
    gated_by: str | None = None
    """Key of the config that says whether the feed-forward network is gated; null where all of them are built alike."""
    gated_sites: dict[str, str] = field(default_factory=dict)
    """Paths of its layers where it is."""
    fused: dict[str, str] = field(default_factory=dict)
    """Sites that are no layers here, each with the site of the layer that computes it beside others."""
    poolings: tuple[Pooling, ...] = ("cls", "mean")
    """What its states can be pooled by; the first is its own."""
    norm: str | None = None
    """Path of the norm after the last block; null where each block ends with its own."""
    norms_every_token: bool = True
    """Whether the encoder's last state is after `norm` (CLIP's image half norms its pooled vector alone)."""
    has_pooler: bool = False
    """Whether the model class takes `add_pooling_layer`; an unused pooler would count as trainable."""
    unused: tuple[str, ...] = ()
    """Paths of other heads and tensors that no vector of ours depends on; they are left out for the same reason."""
    embeddings: str = "embeddings"
    """Path of the embedding layer."""
    before_blocks: tuple[str, ...] = ()
    """Paths of what stands between the embedding layer and the first block."""
    after_first_block: str | None = None
    """Path of what changes the state between the first two blocks, where the config has it."""
    blocks_return_pairs: bool = False
    """Whether a block returns its state beside a second thing."""
    num_reserved_positions: int = 0
    """Rows of the position table that no token takes."""
    is_causal: bool = False
    """Whether a token attends to those before it alone; padding on the right is then never seen."""
    keeps_cache: bool = False
    """Whether it keeps keys and values for tokens to come unless it is told not to, in training too."""
    windows_include_their_end: bool = False
    """Whether a sliding window of n tokens reaches the n-th from a token, and not the one before it alone."""
    attends_by_position: bool = False
    """Whether attention weighs where two tokens stand from each other, beside their query and key."""
    attends_to_padding: bool = False
    """Whether it was trained on titles padded to the full length without a mask; they are then padded so here."""
    tokenizer: str = "AutoTokenizer"
    """Class in transformers."""
    num_prefix_tokens: int = 1
    """Tokens that stand before the patches: [CLS], and in DeiT a distillation token; registers come on top."""
    fits_any_size: bool = False
    """Whether it takes images of any size."""
    has_position_table: bool = True
    """Whether it learned a vector for each place, which is resampled once to the image's size."""
    pads_patches: bool = False
    """Whether images come at their own proportions, as patches that are padded behind and masked."""
    is_packed: bool = False
    """Whether transformers' class takes patches of all images behind each other; its blocks are then run from here, on
    images of one size (see `qwen_vision`)."""
    default_side: int = 224
    """Side of images where neither a setting nor a processor says one size."""
    whole_prefixes: tuple[str, ...] = ()
    """What stands before its tensors' names in a whole vision-language model."""
    pixels: PixelDefaults = PixelDefaults()

    @property
    def has_grid(self) -> bool:
        """Whether patches come row by row, as many in each row of all images."""
        return self.modality == "image" and not self.pads_patches and not self.is_packed

    def sites_of(self, config: PretrainedConfig) -> dict[str, str]:
        """Return generic site names to paths below a block, in an encoder of this config."""
        is_gated = self.gated_by is not None and bool(getattr(config, self.gated_by))
        return self.sites | self.gated_sites if is_gated else self.sites

    def prefix_tokens_of(self, config: PretrainedConfig) -> int:
        """Return how many tokens stand before the patches, registers included; the mean leaves them out."""
        return self.num_prefix_tokens + int(getattr(config, "num_register_tokens", 0))


CLIP_SITES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.out_proj",
    "ffn_input": "mlp.fc1",
    "ffn_output": "mlp.fc2",
    "attention_norm": "layer_norm1",
    "ffn_norm": "layer_norm2",
}
"""Both halves of CLIP, and of what is built like it, name their layers so."""
