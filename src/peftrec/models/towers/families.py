"""The supported Hugging Face families, by transformers' names."""

from transformers import PretrainedConfig

from peftrec.errors import SettingsError
from peftrec.models.towers.family import Family
from peftrec.models.towers.image_families import IMAGE_FAMILIES
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.text_families import BIDIRECTIONAL_FAMILIES, TEXT_FAMILIES

FAMILIES = TEXT_FAMILIES | IMAGE_FAMILIES
"""transformers' `model_type` to family."""

PAIRS = {"clip", "siglip", "siglip2"}
"""Model types of checkpoints that hold a text and an image encoder; either half can be taken from one."""

WHOLES = {"qwen2_5_vl", "qwen3_vl"}
"""Model types of vision-language models, of which the vision half can be taken."""

_HALVES = {"text": "text_config", "image": "vision_config"}


def family_of(config: PretrainedConfig) -> Family:
    """Return the family of an encoder by its config."""
    if config.model_type in BIDIRECTIONAL_FAMILIES and config.use_bidirectional_attention:
        return BIDIRECTIONAL_FAMILIES[config.model_type]
    return FAMILIES[config.model_type]


def check_model_type(model_type: str, modality: str, *, tower: TowerName = "") -> None:
    """Raise SettingsError, which lists the known families of the modality, for one that is not known."""
    known = [name for name, family in FAMILIES.items() if family.modality == modality]
    known += [*PAIRS, *(WHOLES if modality == "image" else ())]
    if model_type not in known:
        raise SettingsError(
            f"towers.{tower or modality}: model type {model_type!r} is not a supported {modality} encoder; "
            f"supported are {', '.join(sorted(known))}"
        )


def encoder_config(config: PretrainedConfig, modality: str, *, tower: TowerName = "") -> PretrainedConfig:
    """Return the config of the encoder itself: a half's where the checkpoint holds two."""
    check_model_type(config.model_type, modality, tower=tower)
    if config.model_type not in PAIRS | WHOLES:
        return config
    half: PretrainedConfig = getattr(config, _HALVES[modality])
    own = str(half.model_type)
    if own not in FAMILIES:
        raise SettingsError(
            f"towers.{tower or modality}: {_HALVES[modality]} of a {config.model_type} is of model type {own!r}"
        )
    check_model_type(own, modality, tower=tower)
    return half
