"""The contract of a data source, on every data set that is known by name."""

from pathlib import Path

import pytest

from peftrec.testing.test_data import (
    DataTrial,
    test_files_that_are_not_there_are_named,
    test_histories_are_of_the_catalogues_items,
    test_reading_again_gives_the_same,
    test_reads_the_modalities_that_are_asked_for,
)
from small_datasets import OVERRIDES, PUBLISHED, source_of, write_dataset


@pytest.fixture(scope="module", params=OVERRIDES)
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataTrial:
    return DataTrial(source_of(request.param, write_dataset(request.param, tmp_path_factory.mktemp("published"))))


def test_every_data_set_has_lines_of_its_own() -> None:
    assert {folder.name for folder in PUBLISHED.iterdir()} == set(OVERRIDES)


def test_every_class_has_a_data_set() -> None:
    package = Path(__file__).parents[3] / "src" / "peftrec" / "data" / "datasets"
    shared = {"__init__", "base", "layout"}
    assert {file.stem for file in package.glob("*.py")} - shared == set(OVERRIDES)


__all__ = [
    "test_files_that_are_not_there_are_named",
    "test_histories_are_of_the_catalogues_items",
    "test_reading_again_gives_the_same",
    "test_reads_the_modalities_that_are_asked_for",
]
