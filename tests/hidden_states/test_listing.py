"""What lies in a folder of stores is told apart, and only what is a store is ever removed."""

import os
import shutil
import time
from pathlib import Path

import pytest

from peftrec.errors import StoreError
from peftrec.hidden_states.listing import find_stores, removable, remove
from peftrec.hidden_states.locking import builder_lock
from peftrec.hidden_states.paths import array_path, building_path, lock_path
from small_stores import build, file_bytes, key_of, small_source

WHOLE, HALF, GROWING = key_of(), key_of("float16"), key_of(compute="bfloat16")


class StoppedError(Exception):
    """Ends a build in the middle."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole store, a damaged one, a build that was given up after two chunks, and other things."""
    directory = tmp_path_factory.mktemp("made") / "stores"
    build(directory, WHOLE)
    build(directory, HALF)
    path = array_path(directory / HALF.folder_name(), "text")
    path.write_bytes(path.read_bytes()[:-1])
    source = small_source()
    calls = []

    def stop(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) > 3:
            raise StoppedError
        return states(*arguments)

    states = source.towers.states
    source.towers.states = stop  # type: ignore[method-assign]
    with pytest.raises(StoppedError):
        build(directory, GROWING, source)
    (directory / "notes").mkdir()
    (directory / "notes" / "text").write_text("nobody's business")
    (directory / "0123456789abcdef").write_text("a file")
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A copy of it all."""
    return shutil.copytree(made, tmp_path / made.name)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The arrays that the build would have made."""
    directory = tmp_path_factory.mktemp("grown")
    build(directory, GROWING)
    return file_bytes(directory / GROWING.folder_name())


def states_of(directory: Path) -> dict[str, str]:
    return {store.folder.name: store.state for store in find_stores(directory)}


def test_each_is_what_it_is(directory: Path) -> None:
    growing = building_path(directory / GROWING.folder_name()).name
    expected = {WHOLE.folder_name(): "whole", HALF.folder_name(): "damaged", growing: "abandoned"}
    assert states_of(directory) == expected
    found = {store.folder.name: store for store in find_stores(directory)}
    assert found[WHOLE.folder_name()].key == WHOLE
    assert found[WHOLE.folder_name()].num_bytes > 7000
    assert "text.npy: truncated" in found[HALF.folder_name()].note
    assert found[growing].key == GROWING
    assert found[growing].note == "40% computed; the same run resumes it"
    (alone,) = find_stores(directory / WHOLE.folder_name())
    assert alone == found[WHOLE.folder_name()]


@pytest.mark.parametrize("content", ["", "{}", '{"chunks": "all"}'])
def test_progress_that_cannot_be_read_is_none_at_all(directory: Path, grown: dict[str, bytes], content: str) -> None:
    growing = building_path(directory / GROWING.folder_name())
    (growing / "finished-0.json").write_text(content)
    (found,) = (store for store in find_stores(directory) if store.folder == growing)
    assert (found.state, found.note) == ("abandoned", "0% computed; the same run resumes it")
    build(directory, GROWING)
    assert file_bytes(directory / GROWING.folder_name()) == grown


def test_a_build_that_goes_on_names_its_builder(directory: Path) -> None:
    folder = directory / GROWING.folder_name()
    with builder_lock(lock_path(folder), folder):
        (store,) = find_stores(building_path(folder))
        assert store.state == "building"
        assert store.note.startswith(f"40% computed by process {os.getpid()} on ")
        assert store not in removable(find_stores(directory), unused_seconds=0)


def test_what_cannot_be_used_may_go_and_what_is_old_on_demand(directory: Path) -> None:
    stores = find_stores(directory)
    assert {store.state for store in removable(stores, unused_seconds=None)} == {"damaged", "abandoned"}
    assert {store.state for store in removable(stores, unused_seconds=3600)} == {"damaged", "abandoned"}
    os.utime(directory / WHOLE.folder_name(), (time.time(), time.time() - 3601))
    find_stores(directory)  # looking at a store is no use of it
    assert len(removable(find_stores(directory), unused_seconds=3600)) == 3
    build(directory, WHOLE)  # opened: used again
    assert len(removable(find_stores(directory), unused_seconds=3600)) == 2


def test_removing_leaves_everything_else(directory: Path) -> None:
    for store in removable(find_stores(directory), unused_seconds=None):
        remove(store)
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        ["notes", "0123456789abcdef", WHOLE.folder_name()]
    )
    assert states_of(directory) == {WHOLE.folder_name(): "whole"}


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing: no such folder of stores; .*hidden_states\.directory"):
        find_stores(tmp_path / "nothing")
