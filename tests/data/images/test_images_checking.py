"""The check of all images is remembered, and forgotten as soon as a file, the items or Pillow change."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import PIL
import pytest

from peftrec.data.images import checking
from peftrec.data.images.checking import cache_folder, corrupt_images
from peftrec.data.images.opening import open_images
from peftrec.data.images.stored import StoredImages
from peftrec.errors import DataError
from small_images import IDS, encoded, pack, small_contents, write_folder


@pytest.fixture(autouse=True)
def every_check_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checking, "REMEMBERED_FROM", 1)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The items of each check that decoded images."""
    made: list[list[int]] = []
    check = checking.find_corrupt

    def count(images: StoredImages, items: list[int]) -> dict[int, str]:
        made.append(list(items))
        return check(images, items)

    monkeypatch.setattr(checking, "find_corrupt", count)
    return made


def remembered() -> list[Path]:
    folder = cache_folder()
    assert folder is not None
    return sorted(folder.glob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", small_contents() | {"c.png": b"no image"})


def opened(path: Path) -> StoredImages:
    return open_images(path, IDS, key="data.images")


@pytest.mark.parametrize("kind", ["folder", "images.zip", "images.lmdb"])
def test_the_second_check_decodes_nothing(tmp_path: Path, kind: str, checks: list[list[int]], folder: Path) -> None:
    path = folder
    if kind != "folder":
        (folder / "c.png").write_bytes(encoded(3))
        path = pack(folder, tmp_path / kind)
    first = corrupt_images(opened(path), range(4))
    assert corrupt_images(opened(path), range(4)) == first
    assert list(first) == ([2] if kind == "folder" else [])
    assert len(checks) == 1
    assert len(remembered()) == 1


def test_faults_are_given_by_item_whatever_their_order(folder: Path, checks: list[list[int]]) -> None:
    images = opened(folder)
    assert list(corrupt_images(images, [1, 2])) == [2]
    assert list(corrupt_images(images.select([1, 2]), [0, 1])) == [1]
    assert len(checks) == 1


def grow(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(small_contents()["a.jpg"] + b"x")


def touch(folder: Path) -> None:
    os.utime(folder / "a.jpg", ns=(0, 10**18))


@pytest.mark.parametrize("change", [grow, touch])
def test_a_changed_file_is_checked_again(folder: Path, change: Callable[[Path], None], checks: list[list[int]]) -> None:
    corrupt_images(opened(folder), range(4))
    change(folder)
    corrupt_images(opened(folder), range(4))
    assert len(checks) == 2


def test_other_items_another_place_and_another_pillow_are_checked(
    tmp_path: Path, folder: Path, checks: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corrupt_images(opened(folder), range(4))
    corrupt_images(opened(folder), range(3))
    corrupt_images(opened(folder).blank([0]), range(4))
    moved = folder.rename(tmp_path / "moved")
    assert "moved/c.png: " in corrupt_images(opened(moved), range(4))[2]
    monkeypatch.setattr(PIL, "__version__", "99")
    corrupt_images(opened(moved), range(4))
    assert checks == [[0, 1, 2, 3], [0, 1, 2], *[[0, 1, 2, 3]] * 3]


def test_a_cache_that_cannot_be_read_or_written_costs_a_check(
    tmp_path: Path, folder: Path, checks: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corrupt_images(opened(folder), range(4))
    (memory,) = remembered()
    for content in (b"{", b"3", b"[]", b'{"c.png": 1}'):
        memory.write_bytes(content)
        assert list(corrupt_images(opened(folder), range(4))) == [2]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert list(corrupt_images(opened(folder), range(4))) == [2]
    assert len(checks) == 6


def test_a_user_without_a_home_folder_checks_each_time(
    folder: Path, checks: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers whose user has no entry among the system's."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    for _ in range(2):
        assert list(corrupt_images(opened(folder), range(4))) == [2]
    assert len(checks) == 2
    assert cache_folder() is None


def test_few_images_leave_no_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "REMEMBERED_FROM", 5)
    assert list(corrupt_images(opened(folder), range(4))) == [2]
    assert remembered() == []


def test_a_file_that_went_away_is_named(folder: Path) -> None:
    images = opened(folder)
    (folder / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg: the image cannot be read \(No such file"):
        corrupt_images(images, range(4))
