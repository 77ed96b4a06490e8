"""Image processors' files, in the shapes that they have been written in."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPImageProcessorPil

from peftrec.data.content import ImageTransform
from peftrec.errors import SettingsError
from peftrec.models.families import FAMILIES, PixelDefaults
from peftrec.models.image_processing import read_processor, sides, transform_of, write_processor

DEFAULTS = PixelDefaults(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def write(folder: Path, name: str = "preprocessor_config.json", **content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


def test_the_files_that_transformers_writes_are_read(tmp_path: Path) -> None:
    CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=16).save_pretrained(tmp_path)
    transform = transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99)
    assert (transform.height, transform.width, transform.resampling) == (16, 16, "bicubic")
    assert transform.mean == FAMILIES["clip_vision_model"].pixels.mean


def test_a_written_transform_is_read_back(tmp_path: Path) -> None:
    transform = ImageTransform(height=14, width=28, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.25), resampling="lanczos")
    write_processor(transform, tmp_path)
    assert transform_of(read_processor(tmp_path), DEFAULTS, size=None, config_size=99) == transform


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
