"""Stores that many tests read or damage, each built once; a test that changes files gets a copy."""

import shutil
from pathlib import Path

import pytest

from small_stores import build, key_of


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store, to read only."""
    directory = tmp_path_factory.mktemp("built")
    build(directory)
    return directory / key_of().folder_name()


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of the store in `tmp_path`."""
    return shutil.copytree(built, tmp_path / built.name)
