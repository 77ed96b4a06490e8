"""The supported families of image encoders; a rename inside transformers hurts this file and the one of text encoders
alone (5.18 was the last to rename)."""

from dataclasses import replace

from transformers.utils.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from peftrec.models.towers.family import CLIP_SITES, Family, PixelDefaults

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
    gated_by="use_swiglu_ffn",
    gated_sites={"ffn_gate": "mlp.gate_proj", "ffn_input": "mlp.up_proj", "ffn_output": "mlp.down_proj"},
    has_pooler=False,
    unused=("embeddings.mask_token",),
    fits_any_size=True,
    # facebookresearch/dinov2, dinov2/data/transforms.py
    pixels=PixelDefaults(mean=tuple(IMAGENET_DEFAULT_MEAN), std=tuple(IMAGENET_DEFAULT_STD)),
)

_DINOV2_WITH_REGISTERS = replace(_DINOV2, model="Dinov2WithRegistersModel")

_DINOV3 = replace(
    _DINOV2,
    model="DINOv3ViTModel",
    blocks="model.layer",
    sites=_DINOV2.sites | {"ffn_input": "mlp.up_proj", "ffn_output": "mlp.down_proj"},
    gated_by="use_gated_mlp",
    norm="norm",
    has_position_table=False,
    attends_by_position=True,
    # its image processor's own: facebook's checkpoints say these too
    pixels=PixelDefaults(mean=tuple(IMAGENET_DEFAULT_MEAN), std=tuple(IMAGENET_DEFAULT_STD), resampling="bilinear"),
)

_CLIP_IMAGE = Family(
    modality="image",
    model="CLIPVisionModel",
    blocks="encoder.layers",
    sites=CLIP_SITES,
    norm="post_layernorm",
    norms_every_token=False,
    before_blocks=("pre_layrnorm",),
    pixels=PixelDefaults(mean=tuple(OPENAI_CLIP_MEAN), std=tuple(OPENAI_CLIP_STD)),
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

_SIGLIP2_IMAGE = replace(
    _SIGLIP_IMAGE, model="Siglip2VisionModel", pads_patches=True, pixels=PixelDefaults(resampling="bilinear")
)

_QWEN2_5_VISION = Family(
    modality="image",
    model="Qwen2_5_VisionTransformerPretrainedModel",
    blocks="blocks",
    sites={
        "query_key_value": "attn.qkv",
        "attention_output": "attn.proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_input": "mlp.up_proj",
        "ffn_output": "mlp.down_proj",
        "attention_norm": "norm1",
        "ffn_norm": "norm2",
    },
    fused=dict.fromkeys(("query", "key", "value"), "query_key_value"),
    poolings=("mean",),  # no [CLS]; the decoder reads all patches, joined by four
    norm="merger.ln_q",
    norms_every_token=False,
    unused=("merger.mlp",),
    embeddings="patch_embed",
    attends_by_position=True,
    num_prefix_tokens=0,
    fits_any_size=True,
    has_position_table=False,
    is_packed=True,
    whole_prefixes=("model.visual.", "visual."),
    pixels=PixelDefaults(mean=tuple(OPENAI_CLIP_MEAN), std=tuple(OPENAI_CLIP_STD)),
)

_QWEN3_VISION = replace(
    _QWEN2_5_VISION,
    model="Qwen3VLVisionModel",
    sites={
        "query_key_value": "attn.qkv",
        "attention_output": "attn.proj",
        "ffn_input": "mlp.linear_fc1",
        "ffn_output": "mlp.linear_fc2",
        "attention_norm": "norm1",
        "ffn_norm": "norm2",
    },
    norm="merger.norm",
    unused=("merger.linear_fc1", "merger.linear_fc2", "deepstack_merger_list"),
    before_blocks=("pos_embed",),
)

IMAGE_FAMILIES = {
    "vit": _VIT,
    "deit": _DEIT,
    "dinov2": _DINOV2,
    "dinov2_with_registers": _DINOV2_WITH_REGISTERS,
    "dinov3_vit": _DINOV3,
    "clip_vision_model": _CLIP_IMAGE,
    "siglip_vision_model": _SIGLIP_IMAGE,  # SigLIP 2 of one size too
    "siglip2_vision_model": _SIGLIP2_IMAGE,  # NaFlex
    "qwen2_5_vl_vision": _QWEN2_5_VISION,
    "qwen3_vl_vision": _QWEN3_VISION,
}
"""transformers' `model_type` to family."""
