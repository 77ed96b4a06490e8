"""Image processors' files, in the shapes that they have been written in."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, DeiTImageProcessorPil, ViTImageProcessorPil

from peftrec.data.content import ImageTransform
from peftrec.errors import SettingsError
from peftrec.models.towers.configs import LARGEST_SIDE
from peftrec.models.towers.families import FAMILIES
from peftrec.models.towers.family import PixelDefaults
from peftrec.models.towers.image_processing import read_processor, sides, transform_of, write_processor

DEFAULTS = PixelDefaults(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def write(folder: Path, name: str = "preprocessor_config.json", **content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


def test_the_files_that_transformers_writes_are_read(tmp_path: Path) -> None:
    CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=16).save_pretrained(tmp_path)
    transform = transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99)
    assert (transform.height, transform.width, transform.resampling) == (16, 16, "bicubic")
    assert transform.mean == FAMILIES["clip_vision_model"].pixels.mean


@pytest.mark.parametrize("before", [None, 30, (30, 40)])
def test_a_written_transform_is_read_back(tmp_path: Path, before: int | tuple[int, int] | None) -> None:
    transform = ImageTransform(
        height=14,
        width=28,
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 0.5, 0.25),
        resampling="lanczos",
        cropped_from=before,
    )
    write_processor(transform, tmp_path)
    assert transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99) == transform


def picture(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng([height, width])
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


PROCESSORS = [
    CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=16),
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16),
    BitImageProcessorPil(size={"shortest_edge": 17}, crop_size={"height": 16, "width": 14}),
    DeiTImageProcessorPil(size={"height": 20, "width": 24}, crop_size={"height": 16, "width": 16}),
    DeiTImageProcessorPil(size={"height": 16, "width": 16}, crop_size={"height": 16, "width": 16}),
    ViTImageProcessorPil(size={"height": 16, "width": 14}),
]


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda processor: type(processor).__name__)
@pytest.mark.parametrize("sides", [(30, 21), (21, 30), (33, 33), (16, 40), (11, 9), (19, 57)])
def test_pixels_are_those_of_the_processor(tmp_path: Path, processor: Any, sides: tuple[int, int]) -> None:
    """Resized and cropped as transformers does, byte by byte."""
    processor.save_pretrained(tmp_path)
    transform = transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99)
    image = picture(*sides)
    expected = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    assert transform.pixels(image).tolist() == expected.astype(np.uint8).tolist()


def test_a_bare_number_is_what_the_processor_takes_it_for(tmp_path: Path) -> None:
    for kind, expected in (("CLIPImageProcessor", 20), ("DeiTFeatureExtractor", (20, 20)), ("BitImageProcessor", 20)):
        write(tmp_path, image_processor_type=kind, size=20, crop_size=16, do_center_crop=True)
        transform = transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99)
        assert (transform.height, transform.width, transform.cropped_from) == (16, 16, expected)


def test_a_crop_that_is_larger_than_the_image_is_refused(tmp_path: Path) -> None:
    write(tmp_path, size={"shortest_edge": 8}, crop_size=16, do_center_crop=True)
    with pytest.raises(SettingsError, match=r"image_size: the image processor crops 16 x 16 out of .*8.*smaller; set"):
        transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99)


def test_a_nested_processor_comes_before_the_older_file(tmp_path: Path) -> None:
    write(tmp_path, size=8, image_mean=[0.9] * 3)
    assert read_processor(tmp_path)["size"] == 8
    write(tmp_path, "processor_config.json", image_processor={"size": 12}, processor_class="CLIPProcessor")
    assert read_processor(tmp_path)["size"] == 12
    write(tmp_path, "processor_config.json", processor_class="CLIPProcessor")
    assert read_processor(tmp_path)["size"] == 8


def test_what_the_file_leaves_out_is_the_familys(tmp_path: Path) -> None:
    transform = transform_of(read_processor(write(tmp_path)), DEFAULTS, size=None, config_size=[14, 28])
    assert (transform.height, transform.width) == (14, 28)
    assert (transform.mean, transform.std, transform.resampling) == (DEFAULTS.mean, DEFAULTS.std, "bicubic")


def test_a_processor_that_does_not_normalise_leaves_pixels_alone(tmp_path: Path) -> None:
    processor = read_processor(write(tmp_path, do_normalize=False, image_mean=[0.5] * 3, size=8))
    transform = transform_of(processor, DEFAULTS, size=None, config_size=8)
    assert (transform.mean, transform.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("content", [{"do_rescale": False}, {"rescale_factor": 1 / 127.5}])
def test_another_scale_of_bytes_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"scales bytes by .* not by 1/255"):
        read_processor(write(tmp_path, **content))
    assert read_processor(write(tmp_path, rescale_factor=0.00392156862745098))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(SettingsError, match=r"preprocessor_config\.json: no JSON"):
        read_processor(tmp_path)


def test_sizes_have_several_spellings() -> None:
    sizes = [8, (8, 8), [8, 8], {"shortest_edge": 8}, {"height": 8, "width": 8}, {"height": 8}]
    assert {sides(size) for size in sizes} == {(8, 8)}
    assert sides({"height": 8, "width": 6}) == sides([8, 6]) == (8, 6)
    with pytest.raises(SettingsError, match="longest_edge"):
        sides({"longest_edge": 8})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"image_mean": 0.5, "image_std": 0.25}, ((0.5,) * 3, (0.25,) * 3, DEFAULTS.resampling)),
        ({"image_mean": None, "image_std": None, "resample": None}, (DEFAULTS.mean, DEFAULTS.std, DEFAULTS.resampling)),
        ({"resample": "bicubic"}, (DEFAULTS.mean, DEFAULTS.std, "bicubic")),
        ({"resample": 3, "rescale_factor": None}, (DEFAULTS.mean, DEFAULTS.std, "bicubic")),
        ({"size": None, "crop_size": None, "do_normalize": False}, ((0.0,) * 3, (1.0,) * 3, DEFAULTS.resampling)),
    ],
)
def test_scalars_names_and_nulls_are_legal(content: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path) -> None:
    transform = transform_of(read_processor(write(tmp_path, **content)), DEFAULTS, size=None, config_size=16)
    assert (transform.mean, transform.std, transform.resampling) == expected
    assert (transform.height, transform.width) == (16, 16)


KEYS = ("image_mean", "image_std", "resample", "size", "crop_size", "rescale_factor", "do_center_crop", "do_resize")
ODD: list[Any] = [None, 0, -1, 2**70, 1e308, "x", "bicubic", [], [1], [0.5] * 3, ["a"] * 3, {}, {"height": "a"}, True]


def test_any_other_value_is_one_error(tmp_path: Path) -> None:
    """Every odd value under every key, and in pairs: read, or refused with the key to set."""
    outcomes = set()
    for key, other, value in itertools.product(KEYS, KEYS, ODD):
        odd = ODD[(len(key) * 7 + len(other)) % len(ODD)]
        folder = write(tmp_path, **{"size": 16, key: value, other: odd})
        try:
            transform = transform_of(read_processor(folder), DEFAULTS, size=None, config_size=16)
        except SettingsError:
            outcomes.add("refused")
            continue
        outcomes.add("read")
        assert 0 < transform.height * transform.width <= LARGEST_SIDE**2
        assert len(transform.mean) == len(transform.std) == 3
    assert outcomes == {"refused", "read"}


@pytest.mark.parametrize("content", ["[1]", "1", "null", '"a"'])
def test_a_file_that_holds_no_settings_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(SettingsError, match=r"preprocessor_config\.json: holds no settings"):
        read_processor(tmp_path)
