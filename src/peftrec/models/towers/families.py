"""Where each supported Hugging Face family keeps its blocks, layers and last norm, how its states become one vector,
and what its image processor does; a rename inside transformers hurts this file alone (5.18 was the last to rename)."""

from dataclasses import dataclass, replace
from typing import Literal

from transformers import PretrainedConfig
from transformers.utils.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from peftrec.data.choices import Resampling
from peftrec.errors import SettingsError
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
    attends_by_position: bool = False
    """Whether attention weighs where two tokens stand from each other, beside their query and key."""
    attends_to_padding: bool = False
    """Whether it was trained on titles padded to the full length without a mask; they are then padded so here."""
    tokenizer: str = "AutoTokenizer"
    """Class in transformers."""
    num_prefix_tokens: int = 1
    """Tokens that stand before the patches: [CLS], and in DeiT a distillation token; the mean leaves them out."""
    fits_any_size: bool = False
    """Whether the position table is resampled to the image's size."""
    pixels: PixelDefaults = PixelDefaults()


_BERT = Family(
    modality="text",
    model="BertModel",
    blocks="encoder.layer",
    sites={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "ffn_input": "intermediate.dense",
        "ffn_output": "output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "ffn_norm": "output.LayerNorm",
    },
    has_pooler=True,
)

_ROBERTA = replace(_BERT, model="RobertaModel", num_reserved_positions=2)  # positions count from padding_idx + 1

_XLM_ROBERTA = replace(_ROBERTA, model="XLMRobertaModel")

_DEBERTA_V2 = replace(
    _BERT,
    model="DebertaV2Model",
    sites=_BERT.sites
    | {
        "query": "attention.self.query_proj",
        "key": "attention.self.key_proj",
        "value": "attention.self.value_proj",
    },
    has_pooler=False,
    after_first_block="encoder.conv",
    blocks_return_pairs=True,
    attends_by_position=True,
)

_DISTILBERT = Family(
    modality="text",
    model="DistilBertModel",
    blocks="transformer.layer",
    sites={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "ffn_input": "ffn.lin1",
        "ffn_output": "ffn.lin2",
        "attention_norm": "sa_layer_norm",
        "ffn_norm": "output_layer_norm",
    },
)

_LLAMA = Family(
    modality="text",
    model="LlamaModel",
    blocks="layers",
    sites={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_input": "mlp.up_proj",
        "ffn_output": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    },
    poolings=("last", "mean"),
    norm="norm",
    embeddings="embed_tokens",
    is_causal=True,
    keeps_cache=True,
    attends_by_position=True,
)

_QWEN3 = replace(
    _LLAMA,
    model="Qwen3Model",
    sites=_LLAMA.sites | {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"},
)

_VIT = Family(
    modality="image",
    model="ViTModel",
    blocks="layers",
    sites={
        "query": "attention.q_proj",
        "key": "attention.k_proj",
        "value": "attention.v_proj",
        "attention_output": "attention.o_proj",
        "ffn_input": "mlp.fc1",
        "ffn_output": "mlp.fc2",
        "attention_norm": "layernorm_before",
        "ffn_norm": "layernorm_after",
    },
    norm="layernorm",
    has_pooler=True,
    pixels=PixelDefaults(resampling="bilinear"),
)

_DEIT = replace(_VIT, model="DeiTModel", num_prefix_tokens=2, pixels=PixelDefaults())

_DINOV2 = replace(
    _VIT,
    model="Dinov2Model",
    blocks="encoder.layer",
    sites=_VIT.sites | {"attention_norm": "norm1", "ffn_norm": "norm2"},
    has_pooler=False,
    unused=("embeddings.mask_token",),
    fits_any_size=True,
    # facebookresearch/dinov2, dinov2/data/transforms.py
    pixels=PixelDefaults(mean=tuple(IMAGENET_DEFAULT_MEAN), std=tuple(IMAGENET_DEFAULT_STD)),
)

_CLIP_TEXT = Family(
    modality="text",
    model="CLIPTextModel",
    blocks="encoder.layers",
    sites={
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "attention_output": "self_attn.out_proj",
        "ffn_input": "mlp.fc1",
        "ffn_output": "mlp.fc2",
        "attention_norm": "layer_norm1",
        "ffn_norm": "layer_norm2",
    },
    poolings=("last", "mean"),  # attention is causal: the first token has seen nothing but itself
    norm="final_layer_norm",
    is_causal=True,
)

_CLIP_IMAGE = replace(
    _CLIP_TEXT,
    modality="image",
    model="CLIPVisionModel",
    poolings=("cls", "mean"),
    norm="post_layernorm",
    norms_every_token=False,
    before_blocks=("pre_layrnorm",),
    is_causal=False,
    pixels=PixelDefaults(mean=tuple(OPENAI_CLIP_MEAN), std=tuple(OPENAI_CLIP_STD)),
)

_SIGLIP_TEXT = replace(
    _CLIP_TEXT,
    model="SiglipTextModel",
    is_causal=False,
    unused=("head",),
    attends_to_padding=True,
    tokenizer="PreTrainedTokenizerFast",  # its own class asks for sentencepiece, its tokenizer.json does not
)

_SIGLIP_IMAGE = replace(
    _CLIP_IMAGE,
    model="SiglipVisionModel",
    poolings=("mean",),  # no [CLS]: its own vector is made by an attention-pooling head
    norms_every_token=True,
    before_blocks=(),
    unused=("head",),
    num_prefix_tokens=0,
    pixels=PixelDefaults(),
)

FAMILIES = {
    "bert": _BERT,  # MiniLM too
    "roberta": _ROBERTA,
    "xlm-roberta": _XLM_ROBERTA,  # multilingual E5 too
    "distilbert": _DISTILBERT,
    "deberta-v2": _DEBERTA_V2,  # and v3
    "llama": _LLAMA,
    "qwen3": _QWEN3,  # Qwen3-Embedding too
    "clip_text_model": _CLIP_TEXT,
    "siglip_text_model": _SIGLIP_TEXT,
    "vit": _VIT,
    "deit": _DEIT,
    "dinov2": _DINOV2,
    "clip_vision_model": _CLIP_IMAGE,
    "siglip_vision_model": _SIGLIP_IMAGE,
}
"""transformers' `model_type` to family."""

PAIRS = {"clip", "siglip"}
"""Model types of checkpoints that hold a text and an image encoder; either half can be taken from one."""

_HALVES = {"text": "text_config", "image": "vision_config"}


def check_model_type(model_type: str, modality: str) -> None:
    """Raise SettingsError, which lists the known families of the modality, for one that is not known."""
    known = [name for name, family in FAMILIES.items() if family.modality == modality]
    if model_type not in known and model_type not in PAIRS:
        raise SettingsError(
            f"towers.{modality}: model type {model_type!r} is not a supported {modality} encoder; "
            f"supported are {', '.join(sorted([*known, *PAIRS]))}"
        )


def encoder_config(config: PretrainedConfig, modality: str) -> PretrainedConfig:
    """Return the config of the encoder itself: a half's where the checkpoint holds two."""
    check_model_type(config.model_type, modality)
    if config.model_type not in PAIRS:
        return config
    half: PretrainedConfig = getattr(config, _HALVES[modality])
    own = str(half.model_type)
    if own not in FAMILIES:
        raise SettingsError(f"towers.{modality}: {_HALVES[modality]} of a {config.model_type} is of model type {own!r}")
    check_model_type(own, modality)
    return half
