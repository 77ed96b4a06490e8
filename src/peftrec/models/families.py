"""Where each supported Hugging Face family keeps its blocks and layers; a rename inside transformers hurts this file
alone (transformers 5 renamed ViT's and kept BERT's, huggingface/transformers#41693)."""

from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from peftrec.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: module paths below the encoder, and generic site names to paths below a block."""

    modality: str
    blocks: str
    sites: dict[str, str]
    has_pooler: bool = True
    """Whether the model class takes `add_pooling_layer`; an unused pooler would count as trainable."""
    num_prefix_tokens: int = 1
    """Tokens that stand before the patches: [CLS], and in DeiT a distillation token; the mean leaves them out."""


_BERT = Family(
    modality="text",
    blocks="encoder.layer",
    sites={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "ffn_input": "intermediate.dense",
        "ffn_output": "output.dense",
    },
)

_DISTILBERT = Family(
    modality="text",
    blocks="transformer.layer",
    sites={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "ffn_input": "ffn.lin1",
        "ffn_output": "ffn.lin2",
    },
    has_pooler=False,
)

_VIT = Family(
    modality="image",
    blocks="layers",
    sites={
        "query": "attention.q_proj",
        "key": "attention.k_proj",
        "value": "attention.v_proj",
        "attention_output": "attention.o_proj",
        "ffn_input": "mlp.fc1",
        "ffn_output": "mlp.fc2",
    },
)

_DEIT = replace(_VIT, num_prefix_tokens=2)

FAMILIES = {"bert": _BERT, "roberta": _BERT, "distilbert": _DISTILBERT, "vit": _VIT, "deit": _DEIT}
"""transformers' `model_type` to family."""


def family_of(config: PretrainedConfig, modality: str) -> Family:
    """Return the family of a checkpoint's config; SettingsError lists the known families of the modality."""
    family = FAMILIES.get(config.model_type)
    if family is None or family.modality != modality:
        known = ", ".join(sorted(name for name, known in FAMILIES.items() if known.modality == modality))
        raise SettingsError(
            f"towers.{modality}: model type {config.model_type!r} is not a supported {modality} encoder; "
            f"supported are {known}"
        )
    return family
