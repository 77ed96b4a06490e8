"""A tower's config, from a checkpoint's file or of an architecture, checked before anything of its sizes is built."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PretrainedConfig

from peftrec.errors import SettingsError
from peftrec.models.towers.families import check_model_type, encoder_config
from peftrec.models.towers.hub import one_line
from peftrec.models.towers.names import Modality

MOST_BLOCKS = 2**8
LARGEST = 2**24
"""Rows and columns of a table; far above any encoder, and far below what overflows."""
LARGEST_SIDE = 2**14
"""Pixels; no tower reads images that large."""
SIZES = {
    "num_hidden_layers": MOST_BLOCKS,
    **dict.fromkeys(("hidden_size", "num_attention_heads", "intermediate_size", "hidden_dim", "mlp_ratio"), LARGEST),
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "num_patches"), LARGEST),
    **dict.fromkeys(("image_size", "patch_size", "spatial_merge_size", "temporal_patch_size"), LARGEST_SIDE),
    **dict.fromkeys(("window_size", "num_position_embeddings"), LARGEST),
}
"""Fields, by transformers' names for all families, that are whole numbers from 1 on, and the most that each may be."""
COLOURS = 3
_CHANNELS = ("num_channels", "in_channels")

_REFUSALS = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    StrictDataclassError,
)
"""What transformers and json raise on fields, or a file, that they cannot take."""


def config_in(folder: Path, modality: Modality, *, key: str) -> PretrainedConfig:
    """Read the config of the encoder for a modality from a checkpoint's folder.

    Raises SettingsError where it cannot be read, is of no supported family, or holds what no encoder can have.
    """
    file = folder / "config.json"
    with _explaining(f"{key}: its config cannot be read: {file}"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"holds a {type(content).__name__}, and no keys with values")
        check_model_type(str(content.get("model_type")), modality, tower=_tower(key))
        _check_written(content, place=f"{key}: {file}")
        config = encoder_config(
            AutoConfig.from_pretrained(folder, trust_remote_code=False), modality, tower=_tower(key)
        )
    check_sizes(config, place=f"{key}: {file}")
    return config


def config_of(architecture: Mapping[str, Any], modality: Modality, *, key: str) -> PretrainedConfig:
    """Build a config; SettingsError as above, and for a key that its class lacks, which transformers would keep
    unread."""
    own = dict(architecture)
    model_type = str(own.pop("model_type", None))
    check_model_type(model_type, modality, tower=_tower(key))
    _check_written(own, place=key)
    with _explaining(f"{key}: its config cannot be read"):
        whole = AutoConfig.for_model(model_type, **own)
        config = encoder_config(whole, modality, tower=_tower(key))
    known = {field.name for field in fields(whole)} | set(whole.attribute_map)
    if unknown := sorted(set(own) - known):
        raise SettingsError(f"{key}: {', '.join(unknown)} is no key of {type(whole).__name__}; correct it")
    check_sizes(config, place=key)
    return config


def _tower(key: str) -> str:
    """Return the name of the tower that a key is of."""
    return key.split(".")[1]


def _check_written(content: Mapping[str, Any], *, place: str) -> None:
    """Raise SettingsError for what must not reach a config's class: a DINOv2's makes a list of its layers, and a ViT's
    looks at rates of dropout when it trains."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            _check_written(value, place=place)
        elif not isinstance(value, int | float):
            continue
        elif isinstance(value, float) and not math.isfinite(value):
            raise _refusal(place, name, value, "a finite number")
        elif name.endswith("layers") and value > MOST_BLOCKS:
            raise _refusal(place, name, value, f"from 1 to {MOST_BLOCKS:,}")
        elif "drop" in name and not 0 <= value <= 1:
            raise _refusal(place, name, value, "from 0 to 1")


def check_sizes(config: PretrainedConfig, *, place: str) -> None:
    """Raise SettingsError, which names the field at `place`, for sizes that no encoder can have."""

    def refuse(field: str, needed: str) -> SettingsError:
        return _refusal(place, config.attribute_map.get(field, field), getattr(config, field), needed)

    for field, most in SIZES.items():
        if not all(1 <= side <= most for side in _numbers(getattr(config, field, 1))):
            raise refuse(field, f"from 1 to {most:,}")
    if config.hidden_size % config.num_attention_heads:
        raise refuse("num_attention_heads", f"a divisor of the width, {config.hidden_size}")
    if hasattr(config, "patch_size") and hasattr(config, "image_size"):
        largest, smallest = max(_numbers(config.patch_size)), min(_numbers(config.image_size))
        if largest > smallest:
            raise refuse("patch_size", f"no larger than the image, {config.image_size}")
    if wrong := [name for name in _CHANNELS if getattr(config, name, COLOURS) != COLOURS]:
        raise refuse(wrong[0], f"{COLOURS}: images are read in colour")


def _refusal(place: str, name: str, value: object, needed: str) -> SettingsError:
    return SettingsError(f"{place}: {name} is {value!r}, and must be {needed}; correct it")


def sides_of(size: Any) -> tuple[int, int]:
    """Return height and width of a size that was checked."""
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _numbers(size: Any) -> tuple[int, ...]:
    """Return the numbers of a size, which may be one for both sides; something else counts as 0."""
    values = size if isinstance(size, list | tuple) and size else [size]
    return tuple(value if isinstance(value, int) and not isinstance(value, bool) else 0 for value in values)


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    try:
        yield
    except _REFUSALS as error:
        raise SettingsError(f"{what}: {one_line(error)}") from error
