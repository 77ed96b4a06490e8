"""Small checkpoints of every family, each saved once for all tests of towers."""

from collections.abc import Callable
from functools import cache

import pytest

from small_families import SAVED, Saved, save_checkpoint


@pytest.fixture(scope="session")
def saved_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    return cache(lambda name: save_checkpoint(tmp_path_factory.mktemp(name), name))


@pytest.fixture(params=SAVED)
def saved(request: pytest.FixtureRequest, saved_of: Callable[[str], Saved]) -> Saved:
    return saved_of(request.param)
