"""Titles and images as tower inputs, against transformers' and Pillow's own."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from peftrec.data.content import ImageTransform, ItemContent, Pixels, TokenisedTitles
from peftrec.data.patches import PatchTransform
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.tiny_towers.vocabulary import build_tokenizer

TITLES = ["red steel lamp", "a", "", "Größe: 12,5 mm (2-pack) zzyzx", "the long long long way home at night"]

PATCHES = PatchTransform(patch_size=4, most_patches=6, mean=(0.5,) * 3, std=(0.5,) * 3)


def transform_to(height: int, width: int) -> ImageTransform:
    return ImageTransform(height=height, width=width, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.5))


class CountingPictures(RenderedPictures):
    """Counts how often a picture is asked for."""

    loaded = 0

    def load(self, item: int) -> Image.Image:
        CountingPictures.loaded += 1
        return super().load(item)


class CroppedInTurn(RenderedPictures):
    """Pictures that lie and stand in turn."""

    def load(self, item: int) -> Image.Image:
        return super().load(item).crop((0, 0, 12, 8) if item % 2 else (0, 0, 8, 12))


def pictures(number: int = 6, height: int = 13, width: int = 10) -> CountingPictures:
    CountingPictures.loaded = 0
    random = np.random.default_rng(0)
    return CountingPictures(random.integers(0, 256, (number, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("chosen", [[0], [2], [3, 1], [4, 0, 1, 2, 3], [1, 1]])
def test_titles_are_padded_as_transformers_pads_them(chosen: list[int]) -> None:
    tokenizer = build_tokenizer()
    titles = TokenisedTitles.from_lists(tokenizer(TITLES)["input_ids"], padding_id=tokenizer.pad_token_id)
    batch = titles.batch(np.array(chosen))
    expected = tokenizer([TITLES[title] for title in chosen], padding=True, return_tensors="pt")
    assert torch.equal(batch.token_ids, expected["input_ids"])
    assert torch.equal(batch.mask, expected["attention_mask"].bool())
    assert batch.mask.dtype == torch.bool


def test_padding_takes_the_tokenizers_id_and_lengths_are_counted() -> None:
    titles = TokenisedTitles.from_lists([[5, 6, 7], [8], [9, 4]], padding_id=3)
    assert titles.lengths().tolist() == [3, 1, 2]
    assert titles.batch(np.array([1, 2])).token_ids.tolist() == [[8, 3], [9, 4]]
    assert titles.batch(np.array([2, 0], dtype=np.int32)).token_ids.tolist() == [[9, 4, 3], [5, 6, 7]]


@pytest.mark.parametrize(("height", "width"), [(5, 7), (20, 16), (13, 11)])
def test_images_are_resized_as_pillow_resizes(height: int, width: int) -> None:
    image = pictures().load(0)
    pixels = transform_to(height, width).pixels(image)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, resized.transpose(2, 0, 1))


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    source = pictures()
    np.testing.assert_array_equal(transform_to(13, 10).pixels(source.load(1)), source.pixels[1].transpose(2, 0, 1))


def test_kept_pixels_equal_decoded_ones() -> None:
    source, transform = pictures(), transform_to(6, 4)
    kept = Pixels(source, transform, keep_bytes=3 * 6 * 4 * len(source))
    assert CountingPictures.loaded == len(source), "all are decoded at once"
    decoded = Pixels(source, transform, keep_bytes=3 * 6 * 4 * len(source) - 1)
    items = np.array([4, 0, 4, 2])
    CountingPictures.loaded = 0
    first = kept.batch(items)
    assert CountingPictures.loaded == 0
    second = decoded.batch(items)
    assert CountingPictures.loaded == len(items), "one byte too few: decoded when asked for"
    assert torch.equal(first.pixels, second.pixels)
    assert (first.mean, first.std) == (second.mean, second.std) == (transform.mean, transform.std)


@pytest.mark.parametrize("keep_bytes", [0, 2**30])
@pytest.mark.parametrize("transform", [transform_to(6, 4), PATCHES])
def test_images_are_alike_where_no_pixel_differs(transform: ImageTransform | PatchTransform, keep_bytes: int) -> None:
    def are_alike(source: CountingPictures) -> bool:
        return Pixels(source, transform, keep_bytes=keep_bytes).are_alike()

    source = pictures()
    assert not are_alike(source)
    source.pixels[1:] = source.pixels[0]
    assert are_alike(source)
    for item in range(len(source)):
        changed = CountingPictures(source.pixels.copy())
        changed.pixels[item, 0, 0] = 255 - changed.pixels[item, 0, 0]
        assert not are_alike(changed), "one image that differs is enough, wherever it stands"


def test_patches_of_the_same_pixels_in_other_proportions_are_not_alike() -> None:
    source = CroppedInTurn(np.full((4, 12, 12, 3), 9, dtype=np.uint8))
    assert not Pixels(source, PATCHES, keep_bytes=0).are_alike()


def test_few_images_are_decoded_to_find_them_different() -> None:
    source = pictures(number=1000)
    source.pixels[:900] = source.pixels[0]
    pixels = Pixels(source, transform_to(6, 4), keep_bytes=0)
    assert not pixels.are_alike()
    assert CountingPictures.loaded < 40, "though the first 900 are the same"


@pytest.mark.parametrize(("height", "width"), [(30, 17), (224, 224), (16, 40)])
def test_normalised_images_equal_the_hugging_face_processors(height: int, width: int) -> None:
    transform = transform_to(height, width)
    processor = ViTImageProcessorPil(
        size={"height": height, "width": width}, image_mean=list(transform.mean), image_std=list(transform.std)
    )
    source = pictures(number=3, height=41, width=29)
    images = [source.load(item) for item in range(3)]
    expected = torch.as_tensor(np.stack(processor(images)["pixel_values"]))
    found = Pixels(source, transform, keep_bytes=0).batch(np.arange(3)).normalised(torch.float32)
    assert found.shape == expected.shape == (3, 3, height, width)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # one level of a byte is 0.008 or more


def test_content_of_a_batch_follows_its_items() -> None:
    source = pictures()
    content = ItemContent(
        by_tower={
            "text": TokenisedTitles.from_lists([[item + 1] for item in range(6)], padding_id=0),
            "image": Pixels(source, transform_to(13, 10), keep_bytes=0),
        }
    )
    batch = content.batch(np.array([5, 1], dtype=np.int32))
    assert batch.items.tolist() == [5, 1]
    assert batch.items.dtype == torch.int64
    assert batch.content("text").token_ids.tolist() == [[6], [2]]
    np.testing.assert_array_equal(batch.content("image").pixels[0].numpy(), source.pixels[5].transpose(2, 0, 1))


def test_what_is_not_collated_is_missed_by_name() -> None:
    batch = ItemContent().batch(np.array([1]))
    for modality in ("text", "image"):
        with pytest.raises(ValueError, match=f"carries no {modality}"):
            batch.content(modality)
