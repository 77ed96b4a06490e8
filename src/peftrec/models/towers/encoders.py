"""Encoders of the supported families: from a checkpoint, with random weights, or with shapes only. What no vector of
ours depends on is left out, so that every parameter of a tower gets a gradient when all of it trains."""

import copy
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from peftrec.errors import SettingsError
from peftrec.models.towers.families import Family


def shaped_encoder(config: PretrainedConfig, family: Family) -> PreTrainedModel:
    """Build an encoder on the meta device: it has shapes and no values."""
    with torch.device("meta"):
        return _without_unused(_model_class(family)(config, **_arguments(family)), family)


def random_encoder(config: PretrainedConfig, family: Family, *, seed: int) -> PreTrainedModel:
    """Build an encoder with weights that are a function of the seed; the random state is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _without_unused(_model_class(family)(config, **_arguments(family)), family)


def pretrained_encoder(folder: Path, config: PretrainedConfig, family: Family, *, key: str) -> PreTrainedModel:
    """Load an encoder in float32 from safetensors; from a checkpoint of two encoders, its own half alone.

    Raises SettingsError where weights are missing, have other shapes, or cannot be read: never are some left random.
    """
    try:
        encoder, loading = _model_class(family).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **_arguments(family),
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SettingsError(f"{key}: cannot read the weights in {folder}: {str(error).splitlines()[0]}") from error
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(family.unused))
    if missing:
        raise SettingsError(
            f"{key}: the weights in {folder} lack {len(missing)} tensors of a {family.model} "
            f"({', '.join(missing[:3])}); they belong to another architecture, or are not whole"
        )
    return _without_unused(encoder, family)


def save_encoder(
    encoder: PreTrainedModel, family: Family, folder: Path, *, base: Path | None, image_size: int | None = None
) -> None:
    """Save a tower's encoder as a checkpoint that transformers loads whole.

    What `base` holds and no vector of ours depends on (a pooler) comes along unchanged: left out, it would be random
    wherever the checkpoint is loaded. `image_size` is the one that positions were fitted to.
    """
    whole, state = encoder, encoder.state_dict()
    if base is not None:
        whole, loading = _model_class(family).from_pretrained(
            base,
            config=copy.deepcopy(encoder.config),
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
        held = {name: tensor for name, tensor in whole.state_dict().items() if name not in loading["missing_keys"]}
        state = held | state
    if image_size is not None:
        whole.config.image_size = image_size
    whole.save_pretrained(folder, state_dict=state)


def fit_positions(encoder: PreTrainedModel, *, height: int, width: int) -> None:
    """Resample the table of positions once to the size that images come in, where the encoder would in every step.

    The numbers are the encoder's own. In every step it costs time, and its backward pass on a GPU is not deterministic.
    Images that are not square are left to the encoder.
    """
    embeddings: Any = encoder.embeddings
    if height != width:
        return
    rows, columns = embeddings.patch_embeddings.patch_size
    table = embeddings.position_embeddings
    tokens = table.new_empty(1, 1 + (height // rows) * (width // columns), table.shape[-1])
    with torch.no_grad():
        embeddings.position_embeddings = nn.Parameter(embeddings.interpolate_pos_encoding(tokens, height, width))


def _model_class(family: Family) -> Any:
    return getattr(transformers, family.model)


def _arguments(family: Family) -> dict[str, bool]:
    return {"add_pooling_layer": False} if family.has_pooler else {}


def _without_unused(encoder: PreTrainedModel, family: Family) -> PreTrainedModel:
    for path in family.unused:
        parent, _, name = path.rpartition(".")
        module = encoder.get_submodule(parent)
        if isinstance(getattr(module, name, None), nn.Module):
            setattr(module, name, nn.Identity())
        elif hasattr(module, name):
            setattr(module, name, None)
    return encoder
