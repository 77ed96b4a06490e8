"""What a checkpoint's image processor says, as a transform."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from PIL import Image

from peftrec.data.choices import Resampling
from peftrec.data.content import ImageTransform
from peftrec.errors import SettingsError
from peftrec.models.towers.families import PixelDefaults

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
    ends = {"height": transform.height, "width": transform.width}
    match transform.cropped_from:
        case None:
            size, crop = ends, {}
        case int(shorter):
            size, crop = {"shortest_edge": shorter}, {"do_center_crop": True, "crop_size": ends}
        case height, width:
            size, crop = {"height": height, "width": width}, {"do_center_crop": True, "crop_size": ends}
    described = {
        # The first resizes, scales and normalises, and does nothing else; the second crops as well.
        "image_processor_type": "CLIPImageProcessor" if crop else "ViTImageProcessor",
        "do_resize": True,
        "size": size,
        **crop,
        "resample": int(Image.Resampling[transform.resampling.upper()]),
        "do_rescale": True,
        "rescale_factor": _PLAIN_SCALE,
        "do_normalize": True,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(described, indent=2))


def transform_of(
    processor: Mapping[str, Any],
    defaults: PixelDefaults,
    *,
    size: tuple[int, int] | None,
    config_size: Any,
    crops: bool = True,
) -> ImageTransform:
    """Build the transform that a processor describes.

    With a `size` of its own, or where nothing is to be cropped, images are resized straight to the size they end with.
    """
    is_cropped = bool(processor.get("do_center_crop"))
    given = processor.get("crop_size" if is_cropped else "size")
    height, width = size or sides(given or config_size)
    before = _before_cropping(processor, (height, width)) if is_cropped and crops and size is None else None
    is_normalised = processor.get("do_normalize", True)
    mean = processor.get("image_mean", defaults.mean) if is_normalised else (0.0, 0.0, 0.0)
    std = processor.get("image_std", defaults.std) if is_normalised else (1.0, 1.0, 1.0)
    resample = processor.get("resample")
    filtered = defaults.resampling if resample is None else Image.Resampling(resample).name.lower()
    return ImageTransform(
        height=height,
        width=width,
        mean=tuple(mean),
        std=tuple(std),
        resampling=cast("Resampling", filtered),
        cropped_from=before,
    )


def _before_cropping(processor: Mapping[str, Any], ends: tuple[int, int]) -> int | tuple[int, int] | None:
    """Return the size that a processor crops from; null where it is the one that it crops to.

    A bare number is the shorter side, but to the processors of ViT and DeiT, which make squares.
    """
    described = processor.get("size", max(ends)) if processor.get("do_resize", True) else ends
    kind = str(processor.get("image_processor_type", processor.get("feature_extractor_type", "")))
    is_shorter = (isinstance(described, int) and not kind.startswith(("ViT", "DeiT"))) or (
        isinstance(described, Mapping) and "shortest_edge" in described
    )
    height, width = sides(described)
    if height < ends[0] or width < ends[1]:
        raise SettingsError(
            f"towers.image.image_size: the image processor crops {ends[0]} x {ends[1]} out of {described}, which is "
            "smaller; set it"
        )
    if is_shorter:
        return height
    return None if (height, width) == ends else (height, width)


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
