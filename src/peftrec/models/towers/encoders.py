"""Encoders of the supported families: from a checkpoint, with random weights, or with shapes only. What no vector of
ours depends on is left out, so that every parameter of a tower gets a gradient when all of it trains."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from peftrec.devices import free_host_memory
from peftrec.errors import SettingsError, shortlist
from peftrec.models.towers.adjustments import ADJUSTMENTS
from peftrec.models.towers.family import Family
from peftrec.models.towers.hub import one_line
from peftrec.models.towers.weight_files import tensors_behind

_GIBIBYTE = 2**30

REFUSALS = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, ArithmeticError, AssertionError)
"""What torch and transformers raise where fields of a config do not go together."""


def shaped_encoder(config: PretrainedConfig, family: Family, *, key: str) -> PreTrainedModel:
    """Build an encoder on the meta device: it has shapes and no values. Raises SettingsError as `random_encoder`."""
    with torch.device("meta"), explaining_config(key, f"build a {family.model}"):
        return bare_encoder(config, family)


def random_encoder(config: PretrainedConfig, family: Family, *, seed: int, key: str) -> PreTrainedModel:
    """Build an encoder with weights that are a function of the seed; the random state is left alone.

    Raises SettingsError where fields of the config do not go together.
    """
    with torch.random.fork_rng(), explaining_config(key, f"build a {family.model}"):
        torch.manual_seed(seed)
        return bare_encoder(config, family)


def bare_encoder(config: PretrainedConfig, family: Family) -> PreTrainedModel:
    """Build what vectors depend on, with whatever weights torch gives it here."""
    return _finished(_model_class(family)(config, **_arguments(family)), family)


@contextmanager
def explaining_config(key: str, what: str) -> Iterator[None]:
    """Turn what a config makes torch say into a SettingsError; a device without memory passes."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except REFUSALS as error:
        raise SettingsError(f"{key}: cannot {what} by its config: {one_line(error)}; correct the config") from error


def pretrained_encoder(files: Sequence[Path], config: PretrainedConfig, family: Family, *, key: str) -> PreTrainedModel:
    """Load an encoder in float32 from the safetensors files of one folder; from those of two encoders, its own half.

    Raises SettingsError where weights are missing, have other shapes, cannot be read, or are no finite numbers: never
    are some left random.
    """
    folder = files[0].parent
    # What is wrong below is the weights; and what has no values takes no memory yet.
    needed = sum(parameter.numel() for parameter in shaped_encoder(config, family, key=key).parameters())
    held = sum(file.stat().st_size for file in files)
    if needed > held:
        raise SettingsError(
            f"{key}: a {family.model} by {folder / 'config.json'} has {needed:,} numbers, and its weights are {held:,} "
            "bytes; the two do not belong together: copy both again"
        )
    if (taken := needed * torch.float32.itemsize) > (free := free_host_memory()):
        raise SettingsError(
            f"{key}: a {family.model} takes {taken / _GIBIBYTE:,.1f} GiB in float32, and {free / _GIBIBYTE:,.1f} GiB "
            "of memory are free; with a strategy that reads pooled states from a store, as strategy=iisan_cached, "
            f"{key.rpartition('.')[0]}.offload=true hidden_states.batch_size=1024 leaves its blocks in their files"
        )
    try:
        encoder, loading = _read(
            folder,
            family,
            config=config,
            ignore_mismatched_sizes=True,  # what does not fit is named below
            **_arguments(family),
        )
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        raise SettingsError(f"{key}: cannot read the weights in {folder}: {one_line(error)}") from error
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(family.unused))
    if missing:
        raise SettingsError(
            f"{key}: the weights in {folder} lack {len(missing)} tensors of a {family.model} "
            f"({', '.join(missing[:3])}); they belong to another architecture, or are not whole"
        )
    if mismatched := sorted(name for name, *_ in loading["mismatched_keys"]):
        raise SettingsError(
            f"{key}: {len(mismatched)} tensors of the weights in {folder} have other shapes than its config.json says "
            f"({shortlist(mismatched)}); the two do not belong together: copy both again"
        )
    encoder = _finished(encoder, family)
    spoilt = [name for name, tensor in encoder.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if spoilt:
        raise SettingsError(
            f"{key}: the checkpoint's own weights in {folder} hold numbers that are not finite, in "
            f"{shortlist(spoilt)}; take the one from before it was damaged, or diverged"
        )
    return encoder


def save_encoder(
    encoder: PreTrainedModel, family: Family, folder: Path, *, base: Path | None, image_size: int | None = None
) -> None:
    """Save a tower's encoder as a checkpoint that transformers loads whole.

    What `base` holds and no vector of ours depends on (a pooler) comes along unchanged: left out, it would be random
    wherever the checkpoint is loaded. `image_size` is the one that positions were fitted to.
    """
    whole, state = encoder, encoder.state_dict()
    if base is not None:
        whole, loading = _read(base, family, config=copy.deepcopy(encoder.config))
        held = {name: tensor for name, tensor in whole.state_dict().items() if name not in loading["missing_keys"]}
        state = held | state
    if image_size is not None:
        whole.config.image_size = image_size
    whole.save_pretrained(folder, state_dict=state)


def fit_positions(encoder: PreTrainedModel, height: int, width: int) -> None:
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


def _read(folder: Path, family: Family, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load a folder's encoder, and say what it lacks; of a vision-language model the tensors of its half alone are
    read."""
    half = tensors_behind(family.whole_prefixes, folder) if family.whole_prefixes else {}
    source: dict[str, Any] = {"state_dict": half} if half else {"use_safetensors": True}
    where = None if half else folder
    read = _model_class(family).from_pretrained
    encoder, loading = read(where, dtype=torch.float32, output_loading_info=True, **source, **options)
    return encoder, loading


def _model_class(family: Family) -> Any:
    return getattr(transformers, family.model)


def _arguments(family: Family) -> dict[str, bool]:
    return {"add_pooling_layer": False} if family.has_pooler else {}


def _finished(encoder: PreTrainedModel, family: Family) -> PreTrainedModel:
    """Leave out what no vector of ours depends on, and change what does not hold here."""
    for path in family.unused:
        parent, _, name = path.rpartition(".")
        module = encoder.get_submodule(parent)
        if isinstance(getattr(module, name, None), nn.Module):
            setattr(module, name, nn.Identity())
        elif hasattr(module, name):
            setattr(module, name, None)
    if family.model in ADJUSTMENTS:
        ADJUSTMENTS[family.model](encoder)
    return encoder
