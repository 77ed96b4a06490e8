"""What a checkpoint's image processor says, as a transform."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from PIL import Image

from peftrec.data.content import ImageTransform, Resampling
from peftrec.errors import SettingsError
from peftrec.models.families import PixelDefaults

_PLAIN_SCALE = 1 / 255
_ROUNDING = 1e-6  # a file may give few digits


def read_processor(folder: Path) -> dict[str, Any]:
    """Return the image processor's settings; transformers 5 nests them in the file of a processor of two modalities.

    Raises SettingsError where the file is not what a processor of photographs writes.
    """
    described: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if not described and (folder / name).exists():
            try:
                content = json.loads((folder / name).read_text())
            except ValueError as error:
                raise SettingsError(f"{folder / name}: no JSON ({error}); copy the file anew") from error
            described = content.get("image_processor", {}) if name == "processor_config.json" else content
    scale = described.get("rescale_factor", _PLAIN_SCALE) if described.get("do_rescale", True) else 1.0
    if abs(scale - _PLAIN_SCALE) > _ROUNDING:
        raise SettingsError(
            f"{folder}: its image processor scales bytes by {scale}, not by 1/255; set towers.image.image_size, mean "
            "and std to what that means for pixels between 0 and 1"
        )
    return described


def write_processor(transform: ImageTransform, folder: Path) -> None:
    """Write a transform as an image processor's settings, which `read_processor` and transformers read."""
    described = {
        "image_processor_type": "ViTImageProcessor",  # resizes, scales and normalises, and does nothing else
        "do_resize": True,
        "size": {"height": transform.height, "width": transform.width},
        "resample": int(Image.Resampling[transform.resampling.upper()]),
        "do_rescale": True,
        "rescale_factor": _PLAIN_SCALE,
        "do_normalize": True,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(described, indent=2))


def transform_of(
    processor: Mapping[str, Any], defaults: PixelDefaults, *, size: tuple[int, int] | None, config_size: Any
) -> ImageTransform:
    """Build the transform that a processor describes, images resized straight to the size it ends with."""
    given = processor.get("crop_size" if processor.get("do_center_crop") else "size")
    height, width = size or sides(given or config_size)
    is_normalised = processor.get("do_normalize", True)
    mean = processor.get("image_mean", defaults.mean) if is_normalised else (0.0, 0.0, 0.0)
    std = processor.get("image_std", defaults.std) if is_normalised else (1.0, 1.0, 1.0)
    resample = processor.get("resample")
    filtered = defaults.resampling if resample is None else Image.Resampling(resample).name.lower()
    return ImageTransform(
        height=height, width=width, mean=tuple(mean), std=tuple(std), resampling=cast("Resampling", filtered)
    )


def sides(size: Any) -> tuple[int, int]:
    """Return height and width; there are a number, a pair, `height` and `width`, or `shortest_edge`."""
    if isinstance(size, int):
        return size, size
    if not isinstance(size, Mapping):
        height, width = size
        return height, width
    height = size.get("height") or size.get("shortest_edge")
    if height is None:
        raise SettingsError(f"towers.image.image_size: the image processor's size {dict(size)} is not known; set it")
    return height, size.get("width") or height
