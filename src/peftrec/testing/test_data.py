"""Laws that every data source keeps; no law knows one by name."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.fingerprint import content_hashes, data_hash
from peftrec.data.readers.base import FileSource
from peftrec.data.source import DataSource
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import UserError
from peftrec.testing.parts import compose


class DataTrial:
    """A data source, read once for all laws."""

    def __init__(self, source: DataSource) -> None:
        self.source = source
        self.has_images = not isinstance(source, FileSource) or source.has_images
        self.titles = ("text",) if not isinstance(source, FileSource) or source.has_text else ()

    @cached_property
    def catalogue(self) -> Catalogue:
        """All that it can read."""
        return self.read()

    @cached_property
    def split(self) -> Split:
        """The catalogue, cut as a run cuts it."""
        return split_catalogue(self.catalogue, self.source)

    def read(self) -> Catalogue:
        """Read it anew."""
        texts = dict.fromkeys(self.source.further_texts, ("text",))
        return self.source.read(titles=self.titles, images=("image",) * self.has_images, texts=texts)


@pytest.fixture(scope="module")
def trial(request: pytest.FixtureRequest) -> DataTrial:
    overrides, name = request.param
    return DataTrial(compose("data", name, overrides).data)


def test_reading_again_gives_the_same(trial: DataTrial) -> None:
    """Or the same command would never find its finished run."""
    again = split_catalogue(trial.read(), trial.source)
    assert data_hash(again) == data_hash(trial.split)
    assert content_hashes(again.items) == content_hashes(trial.split.items)
    assert again.items.ids == trial.split.items.ids


def test_histories_are_of_the_catalogues_items(trial: DataTrial) -> None:
    items, interactions = trial.catalogue.items, trial.catalogue.interactions
    assert len(set(items.ids)) == len(items)
    assert len(set(interactions.users)) == len(interactions)
    assert (interactions.lengths > 0).all()
    assert (interactions.items >= 0).all()
    assert (interactions.items < len(items)).all()


def test_reads_the_modalities_that_are_asked_for(trial: DataTrial) -> None:
    """And no other: a run without an image tower opens no image."""
    titles, images = trial.catalogue.items.titles, trial.catalogue.items.images
    assert titles is None or len(titles) == len(trial.catalogue.items)
    lengths = {name: len(texts) for name, texts in trial.catalogue.items.texts.items()}
    assert lengths == dict.fromkeys(trial.source.further_texts, len(trial.catalogue.items))
    assert (images is not None) == trial.has_images
    without = trial.source.read(titles=trial.titles, images=()).items
    assert without.images is None
    assert not without.texts
    assert without.ids == trial.catalogue.items.ids


def test_files_that_are_not_there_are_named(trial: DataTrial, tmp_path: Path) -> None:
    """A user's mistake is a message with the place, and no traceback."""
    if isinstance(trial.source, FileSource):
        for root in (tmp_path / "nowhere", tmp_path):
            with pytest.raises(UserError, match=str(root)):
                replace(trial.source, root=str(root)).read(titles=trial.titles, images=())
