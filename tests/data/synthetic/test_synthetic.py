"""The synthetic catalogue is the same every time, and as its docstrings say."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from peftrec.data.catalogue import Catalogue
from peftrec.data.synthetic.attributes import NUM_VALUES, Attributes
from peftrec.data.synthetic.catalogue import SyntheticCatalogue
from peftrec.data.synthetic.pictures import COLOURS, PATTERNS, SILHOUETTES, RenderedPictures, render_pictures
from peftrec.data.synthetic.titles import KIND_WORDS, MATERIAL_WORDS, USE_WORDS, lexicon

SOURCE = SyntheticCatalogue()
SMALL = SyntheticCatalogue(num_users=60, num_items=100)
"""Bytes repeat or differ in a small catalogue as in the one whose statistics are tested."""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return SOURCE.read(titles=["text"], images=["image"])


@pytest.fixture(scope="module")
def small() -> Catalogue:
    return SMALL.read(titles=["text"], images=["image"])


def pixels(catalogue: Catalogue) -> RenderedPictures:
    assert isinstance(catalogue.items.images, RenderedPictures)
    return catalogue.items.images


def taken_counts(catalogue: Catalogue, places: slice) -> np.ndarray:
    taken = np.concatenate([history[places] for history in catalogue.interactions])
    return np.bincount(taken, minlength=len(catalogue.items))


def test_same_seed_gives_the_same_bytes(small: Catalogue) -> None:
    again = SMALL.read(titles=["text"], images=["image"])
    assert again.items.titles == small.items.titles
    assert pixels(again).fingerprint() == pixels(small).fingerprint()
    np.testing.assert_array_equal(again.interactions.items, small.interactions.items)
    np.testing.assert_array_equal(again.interactions.offsets, small.interactions.offsets)


def test_another_seed_gives_other_items_and_users(small: Catalogue) -> None:
    other = replace(SMALL, catalogue_seed=1).read(titles=["text"], images=["image"])
    assert other.items.titles != small.items.titles
    assert pixels(other).fingerprint() != pixels(small).fingerprint()
    assert other.interactions.items.tolist() != small.interactions.items.tolist()


def test_a_modality_left_out_changes_nothing_else(small: Catalogue) -> None:
    text_only = SMALL.read(titles=["text"], images=[])
    image_only = SMALL.read(titles=[], images=["image"])
    assert text_only.items.images is None
    assert image_only.items.titles is None
    assert text_only.items.titles == small.items.titles
    assert pixels(image_only).fingerprint() == pixels(small).fingerprint()
    np.testing.assert_array_equal(text_only.interactions.items, small.interactions.items)


def test_histories_are_long_enough_and_hold_no_item_twice(catalogue: Catalogue) -> None:
    lengths = np.diff(catalogue.interactions.offsets)
    assert lengths.min() == SOURCE.shortest_history >= SOURCE.minimum_history
    assert lengths.max() == SOURCE.longest_history == SOURCE.sequence_length + 3
    assert all(len(set(history.tolist())) == len(history) for history in catalogue.interactions)


def test_users_take_an_item_a_day(catalogue: Catalogue) -> None:
    histories = catalogue.interactions
    assert histories.times is not None
    for start, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        assert (histories.times[start:end] == 86_400 * np.arange(end - start)).all()


def test_cold_items_are_only_among_the_last_two(catalogue: Catalogue) -> None:
    num_cold = catalogue.counts["items_made_cold"]
    assert num_cold == round(SOURCE.cold_share * SOURCE.num_items)
    assert taken_counts(catalogue, slice(None, -2))[-num_cold:].sum() == 0
    late = taken_counts(catalogue, slice(-2, None))
    assert 0.05 < late[-num_cold:].sum() / late.sum() < 0.3


def test_popularity_falls_like_a_power_of_the_rank(catalogue: Catalogue) -> None:
    counts = np.sort(taken_counts(catalogue, slice(None, -2)))[::-1]
    ranks = np.arange(10, 600)
    slope, _ = np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)
    assert -0.9 < slope < -0.3
    assert counts[: len(counts) // 10].sum() > 0.2 * counts.sum()


def test_titles_read_like_products_and_say_what_only_they_say(catalogue: Catalogue) -> None:
    titles = catalogue.items.titles
    assert titles is not None
    attributes = SOURCE.attributes()
    words = set(lexicon())
    for item, title in enumerate(titles):
        spoken = title.lower().replace(",", "").split()
        assert 5 <= len(spoken) <= 9
        assert words.issuperset(spoken)
        for said, value in (
            (KIND_WORDS, attributes.kind),
            (MATERIAL_WORDS, attributes.material),
            (USE_WORDS, attributes.use),
        ):
            assert not set(said[value[item]]).isdisjoint(spoken)


def test_no_word_says_two_things() -> None:
    groups = [set(group) for words in (KIND_WORDS, MATERIAL_WORDS, USE_WORDS) for group in words]
    assert len(set.union(*groups)) == sum(len(group) for group in groups)


def test_every_value_has_a_drawing_and_words() -> None:
    drawn = {"kind": SILHOUETTES, "colour": COLOURS, "pattern": PATTERNS}
    written = {"kind": KIND_WORDS, "material": MATERIAL_WORDS, "use": USE_WORDS}
    for name, values in (*drawn.items(), *written.items()):
        assert len(values) == NUM_VALUES[name]


@pytest.mark.parametrize("changed", ["kind", "colour", "pattern"])
def test_pictures_show_each_visible_attribute(changed: str) -> None:
    plain = dict.fromkeys(NUM_VALUES, np.zeros(1, dtype=np.int64))
    one, other = (
        render_pictures(np.random.default_rng(0), Attributes(**(plain | {changed: np.array([value])})), 32)
        for value in (0, 1)
    )
    assert (one != other).any(axis=-1).mean() > 0.05


def test_pictures_load_as_rgb_and_select(catalogue: Catalogue) -> None:
    pictures = pixels(catalogue)
    chosen = pictures.select([5, 2])
    assert len(chosen) == 2
    assert chosen.load(0).mode == "RGB"
    assert chosen.load(0).size == (SOURCE.image_size, SOURCE.image_size)
    np.testing.assert_array_equal(np.asarray(chosen.load(1)), np.asarray(pictures.load(2)))
    assert chosen.fingerprint() != pictures.fingerprint()


def test_size_of_pictures_is_a_setting() -> None:
    small = SyntheticCatalogue(num_items=100, num_users=2, image_size=48).read(titles=[], images=["image"])
    assert pixels(small).load(99).size == (48, 48)


def test_taste_needs_both_modalities(catalogue: Catalogue) -> None:
    """The last item shares looks and words with the one before far more often than chance has it."""
    last, before = (np.array([history[place] for history in catalogue.interactions]) for place in (-1, -2))
    shared = {name: np.mean(values[last] == values[before]) for name, values in SOURCE.attributes().by_name().items()}
    for name in ("colour", "pattern", "material", "use"):
        assert shared[name] > 2 / NUM_VALUES[name]


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(ValidationError, match="shortest_history"):
        SyntheticCatalogue(shortest_history=9, longest_history=8)
    with pytest.raises(ValidationError, match="num_items"):
        SyntheticCatalogue(num_items="many")  # type: ignore[arg-type]
