"""What a checkpoint's image processor says, as a transform."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import PretrainedConfig

from peftrec.data.content import ImageTransform
from peftrec.data.patches import PatchTransform
from peftrec.errors import SettingsError
from peftrec.models.towers.configs import LARGEST_SIDE
from peftrec.models.towers.family import Family, PixelDefaults
from peftrec.models.towers.names import TowerName

_PLAIN_SCALE = 1 / 255
_ROUNDING = 1e-6  # a file may give few digits


def read_processor(folder: Path, *, tower: TowerName = "image") -> dict[str, Any]:
    """Return the image processor's settings; transformers 5 nests them in the file of a processor of two modalities.

    Raises SettingsError where the file is not what a processor of photographs writes.
    """
    described: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if not described and (folder / name).exists():
            try:
                content = json.loads((folder / name).read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise SettingsError(f"{folder / name}: no JSON ({error}); copy the file anew") from error
            is_nested = isinstance(content, dict) and name == "processor_config.json"
            inner = content.get("image_processor", {}) if is_nested else content
            if not isinstance(inner, dict):
                raise SettingsError(f"{folder / name}: holds no settings of an image processor; copy the file anew")
            described = inner
    scale = described.get("rescale_factor") if described.get("do_rescale", True) else 1.0
    scale = _PLAIN_SCALE if scale is None else _number(scale, "rescale_factor", tower)
    if abs(scale - _PLAIN_SCALE) > _ROUNDING:
        raise SettingsError(
            f"{folder}: its image processor scales bytes by {scale}, not by 1/255; set towers.{tower}.image_size, mean "
            "and std to what that means for pixels between 0 and 1"
        )
    return described


def write_processor(transform: ImageTransform | PatchTransform, folder: Path) -> None:
    """Write a transform as an image processor's settings, which `read_processor` and transformers read."""
    described = {
        **(_of_patches(transform) if isinstance(transform, PatchTransform) else _of_a_size(transform)),
        "do_resize": True,
        "resample": int(Image.Resampling[transform.resampling.upper()]),
        "do_rescale": True,
        "rescale_factor": _PLAIN_SCALE,
        "do_normalize": True,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(described, indent=2), encoding="utf-8")


def _of_patches(transform: PatchTransform) -> dict[str, Any]:
    sizes = {"patch_size": transform.patch_size, "max_num_patches": transform.most_patches}
    return {"image_processor_type": "Siglip2ImageProcessor", **sizes}


def _of_a_size(transform: ImageTransform) -> dict[str, Any]:
    ends = {"height": transform.height, "width": transform.width}
    match transform.cropped_from:
        case None:
            size, crop = ends, {}
        case int(shorter):
            size, crop = {"shortest_edge": shorter}, {"do_center_crop": True, "crop_size": ends}
        case height, width:
            size, crop = {"height": height, "width": width}, {"do_center_crop": True, "crop_size": ends}
    # The first resizes, scales and normalises, and does nothing else; the second crops as well.
    kind = "CLIPImageProcessor" if crop else "ViTImageProcessor"
    return {"image_processor_type": kind, "size": size, **crop}


def transform_for(
    config: PretrainedConfig,
    family: Family,
    processor: Mapping[str, Any],
    *,
    tower: TowerName = "image",
    image_size: int | None,
    crops: bool,
) -> ImageTransform | PatchTransform:
    """Build the transform that an encoder's processor describes.

    Raises SettingsError where the encoder takes another size.
    """
    if family.pads_patches:
        return patches_of(processor, family.pixels, tower=tower, image_size=image_size, config=config)
    if family.is_packed:
        return _of_blocks(config, family, processor, tower=tower, image_size=image_size)
    square = None if image_size is None else (image_size, image_size)
    described = transform_of(
        processor, family.pixels, tower=tower, size=square, config_size=config.image_size, crops=crops
    )
    taken, patch = sides(config.image_size, tower), sides(config.patch_size, tower)
    at = f"towers.{tower}.image_size: images come at {described.height} x {described.width} and"
    if described.size != taken and not family.fits_any_size:
        raise SettingsError(f"{at} the encoder takes {taken[0]} x {taken[1]}; set towers.{tower}.image_size={taken[0]}")
    if described.height < patch[0] or described.width < patch[1]:
        raise SettingsError(
            f"{at} one patch of the encoder is {patch[0]} x {patch[1]}; set towers.{tower}.image_size={taken[0]}"
        )
    return described


def _of_blocks(
    config: Any, family: Family, processor: Mapping[str, Any], *, tower: TowerName, image_size: int | None
) -> ImageTransform:
    """Build the transform of an encoder that joins patches to blocks. Its processor leaves images their size, and says
    none; here all have one."""
    given = processor.get("size")
    said = sides(given, tower) if isinstance(given, Mapping) and "height" in given else (family.default_side,) * 2
    height, width = (image_size, image_size) if image_size is not None else said
    block = sides(config.patch_size, tower)[0] * config.spatial_merge_size
    if height % block or width % block:
        raise SettingsError(
            f"towers.{tower}.image_size: images come at {height} x {width}, and the encoder takes multiples of {block}"
            f"; set towers.{tower}.image_size={max(1, round(height / block)) * block}"
        )
    return ImageTransform(height=height, width=width, **_colours(processor, family.pixels, tower))


def transform_of(
    processor: Mapping[str, Any],
    defaults: PixelDefaults,
    *,
    tower: TowerName = "image",
    size: tuple[int, int] | None,
    config_size: Any,
    crops: bool = True,
) -> ImageTransform:
    """Build the transform that a processor describes.

    With a `size` of its own, or where nothing is to be cropped, images are resized straight to the size they end with.
    """
    is_cropped = bool(processor.get("do_center_crop"))
    given = processor.get("crop_size" if is_cropped else "size")
    height, width = size or sides(given or config_size, tower)
    before = _before_cropping(processor, (height, width), tower) if is_cropped and crops and size is None else None
    return ImageTransform(height=height, width=width, cropped_from=before, **_colours(processor, defaults, tower))


def patches_of(
    processor: Mapping[str, Any],
    defaults: PixelDefaults,
    *,
    tower: TowerName = "image",
    image_size: int | None,
    config: Any,
) -> PatchTransform:
    """Build the transform of a processor that leaves images their proportions.

    With a size of its own an image may have as many patches as a square of that side has.
    """
    side, given = config.patch_size, processor.get("patch_size", config.patch_size)
    if given != side or not _is_side(side):
        raise SettingsError(
            f"towers.{tower}: the image processor's patch_size is {given!r}, and the encoder's {side}; the two do not "
            "belong together: copy both again"
        )
    most = processor.get("max_num_patches", config.num_patches) if image_size is None else (image_size // side) ** 2
    if not _is_side(most):
        raise SettingsError(
            f"towers.{tower}.image_size: an image of {most!r} patches of {side} x {side} is none; set "
            f"towers.{tower}.image_size={side * math.isqrt(config.num_patches)}"
        )
    return PatchTransform(patch_size=side, most_patches=most, **_colours(processor, defaults, tower))


def _colours(processor: Mapping[str, Any], defaults: PixelDefaults, tower: TowerName) -> dict[str, Any]:
    """Return normalisation and filter, as a transform calls them."""
    is_normalised = processor.get("do_normalize", True)
    mean = _channels(processor, "image_mean", defaults.mean, tower) if is_normalised else (0.0, 0.0, 0.0)
    std = _channels(processor, "image_std", defaults.std, tower) if is_normalised else (1.0, 1.0, 1.0)
    if not all(value > 0 for value in std):
        raise SettingsError(f"towers.{tower}.std: the image processor's image_std {std} is not above 0; set it")
    resample = processor.get("resample")
    filtered = defaults.resampling if resample is None else _filter(resample, tower)
    return {"mean": mean, "std": std, "resampling": filtered}


def _number(value: Any, key: str, tower: TowerName) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingsError(
            f"towers.{tower}: the image processor's {key} holds {value!r} where a number is expected; correct its "
            f"preprocessor_config.json, or set towers.{tower}.image_size, mean and std"
        )
    return float(value)


def _channels(
    processor: Mapping[str, Any], key: str, default: tuple[float, ...], tower: TowerName
) -> tuple[float, ...]:
    """Return a value for each channel: a number stands for all three, and null for the family's own."""
    value = processor.get(key)
    if value is None:
        return tuple(default)
    values = (
        [_number(each, key, tower) for each in value]
        if isinstance(value, list | tuple)
        else [_number(value, key, tower)] * 3
    )
    if len(values) != 3:  # noqa: PLR2004  # red, green, blue
        raise SettingsError(f"towers.{tower}: the image processor's {key} has {len(values)} values, not one a channel")
    return tuple(values)


def _filter(resample: Any, tower: TowerName) -> str:
    """Return Pillow's name of a filter, which files give as its number or its name."""
    names = {each.name.lower(): each for each in Image.Resampling}
    if isinstance(resample, str) and resample.lower() in names:
        return resample.lower()
    if isinstance(resample, int) and not isinstance(resample, bool):
        for name, number in names.items():
            if number == resample:
                return name
    raise SettingsError(
        f"towers.{tower}.resampling: the image processor's resample is {resample!r}; set it to one of "
        f"{', '.join(names)}"
    )


def _before_cropping(
    processor: Mapping[str, Any], ends: tuple[int, int], tower: TowerName
) -> int | tuple[int, int] | None:
    """Return the size that a processor crops from; null where it is the one that it crops to.

    A bare number is the shorter side, but to the processors of ViT and DeiT, which make squares.
    """
    described = processor.get("size", max(ends)) if processor.get("do_resize", True) else ends
    kind = str(processor.get("image_processor_type", processor.get("feature_extractor_type", "")))
    is_shorter = (isinstance(described, int) and not kind.startswith(("ViT", "DeiT"))) or (
        isinstance(described, Mapping) and "shortest_edge" in described
    )
    height, width = sides(described or max(ends), tower)
    if height < ends[0] or width < ends[1]:
        raise SettingsError(
            f"towers.{tower}.image_size: the image processor crops {ends[0]} x {ends[1]} out of {described}, which is "
            "smaller; set it"
        )
    if is_shorter:
        return height
    return None if (height, width) == ends else (height, width)


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SIDE


def sides(size: Any, tower: TowerName = "image") -> tuple[int, int]:
    """Return height and width; there are a number, a pair, `height` and `width`, or `shortest_edge`."""
    height = width = size
    if isinstance(size, Mapping):
        height = size.get("height") or size.get("shortest_edge")
        width = size.get("width") or height
    elif isinstance(size, list | tuple) and len(size) == len(("height", "width")):
        height, width = size
    if not (_is_side(height) and _is_side(width)):
        raise SettingsError(f"towers.{tower}.image_size: the image processor's size {size!r} is not known; set it")
    return height, width
