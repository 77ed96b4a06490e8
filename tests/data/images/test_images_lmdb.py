"""LMDBs: handles that belong to one process, and one clear error for every file that is none of ours."""

import gc
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from peftrec.data.images.checking import find_corrupt
from peftrec.data.images.decoding import CorruptImageError
from peftrec.data.images.lmdb import FORMAT_KEY, LmdbImages
from peftrec.data.images.opening import open_images
from peftrec.data.images.stored import StoredImages
from peftrec.errors import DataError, UserError
from small_images import IDS, encoded, replace_value, small_contents, write_folder, write_lmdb, write_published


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_lmdb(tmp_path / "images.lmdb", small_contents())


def opened(path: Path, ids: tuple[str, ...] | None = IDS) -> StoredImages:
    return open_images(path, ids, key="data.images")


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(path)
    return str(caught.value)


def test_values_are_the_bytes_of_the_files(path: Path) -> None:
    images = opened(path, None)
    assert isinstance(images, LmdbImages)
    assert images.names == IDS
    assert [images.read(name) for name in IDS] == list(small_contents().values())


def test_a_folder_that_holds_an_lmdb_is_one(tmp_path: Path, path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path.rename(tmp_path / "folder" / "data.mdb")
    assert opened(tmp_path / "folder", None).names == IDS
    assert opened(tmp_path / "folder" / "data.mdb", None).names == IDS


def test_ids_without_an_image_are_missing_whatever_they_look_like(path: Path) -> None:
    odd = ("x", "a", "", "é" * 400, FORMAT_KEY.decode(), "__keys__")
    images = opened(path, odd)
    assert images.names == (None, "a", None, None, None, None)
    assert images.looked_for("x") == f"{path}:x"
    with pytest.raises(DataError, match=r"images\.lmdb: item number 0 has no image"):
        images.load(0)


def test_one_process_may_open_the_same_file_many_times(path: Path) -> None:
    first, second = opened(path), opened(path.parent / "." / path.name)
    assert isinstance(first, LmdbImages)
    assert isinstance(second, LmdbImages)
    assert first.handle.get() is second.handle.get()
    del first
    gc.collect()
    assert second.load(0).size == (6, 8)


def test_the_file_closes_with_its_last_reader(path: Path) -> None:
    images = opened(path)
    del images
    gc.collect()
    with lmdb.open(str(path), subdir=False, lock=False, readonly=True) as environment:
        assert environment.stat()["entries"] == len(IDS) + 1


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path, path: Path) -> None:
    before = opened(path)
    write_lmdb(tmp_path / "other.lmdb", {"a.png": encoded(7)}).replace(path)
    after = opened(path)
    assert before.read("b") == small_contents()["b.JPEG"]
    assert after.names == ("a", None, None, None)
    assert after.read("a") == encoded(7)


def read_in_child(images: StoredImages, answers: "multiprocessing.Queue[bytes]") -> None:
    answers.put(images.read("a"))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_another_process_reads_what_its_parent_has_open(path: Path, method: str) -> None:
    images = opened(path)
    expected = images.read("a")
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=read_in_child, args=(images, answers))
    child.start()
    assert answers.get(timeout=60) == expected
    child.join()
    assert child.exitcode == 0
    assert images.read("b") == small_contents()["b.JPEG"]


def test_handles_are_not_pickled(path: Path) -> None:
    images = opened(path)
    images.load(0)
    assert len(pickle.dumps(images)) < 1000


def test_the_fingerprint_follows_values_and_survives_a_copy(tmp_path: Path, path: Path) -> None:
    copied = tmp_path / "copy.lmdb"
    copied.write_bytes(path.read_bytes())
    assert opened(copied).fingerprint() == opened(path).fingerprint()
    assert opened(copied).select([1, 0]).fingerprint() != opened(path).select([0, 1]).fingerprint()
    content = small_contents()["a.jpg"]
    replace_value(copied, "a", content[:-1] + b"x")
    assert opened(copied).fingerprint() != opened(path).fingerprint()


@pytest.mark.parametrize("damage", [b"", b"no image at all", encoded(1)[:-30]])
def test_damaged_values_name_their_key(path: Path, damage: bytes) -> None:
    replace_value(path, "a", damage)
    with pytest.raises(CorruptImageError, match=r"images\.lmdb:a: "):
        opened(path).load(0)
    assert list(find_corrupt(opened(path), range(4))) == [0]


def test_a_value_that_went_away_is_corrupt(path: Path) -> None:
    images = opened(path)
    again = pickle.loads(pickle.dumps(images))
    del images
    replace_value(path, "a", None)
    with pytest.raises(CorruptImageError, match=r"images\.lmdb:a: the key is gone"):
        again.load(0)


def test_files_that_are_no_lmdb_are_named(tmp_path: Path) -> None:
    for name, content in [("empty.lmdb", b""), ("text.lmdb", b"x" * 10_000)]:
        (tmp_path / name).write_bytes(content)
        assert f"{tmp_path / name}: the LMDB of images cannot be opened (" in message(tmp_path / name)
        assert message(tmp_path / name).endswith("write it again, or name another")
    assert message(tmp_path / "no.lmdb").endswith("no.lmdb: no such folder, zip or LMDB of images: correct data.images")


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_half_copied_lmdb_is_refused_and_kills_nothing(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert f"bytes of at least {len(content)}: the LMDB was not copied whole; copy it again" in message(path)


def test_an_lmdb_of_something_else_or_of_the_future_is_refused(path: Path) -> None:
    replace_value(path, FORMAT_KEY.decode(), b"2")
    assert "images in the format b'2' of a newer peftrec, this one reads b'1'" in message(path)
    replace_value(path, FORMAT_KEY.decode(), None)
    assert "neither one that `peftrec images pack` wrote nor one of IISAN's build_lmdb.py" in message(path)


def test_a_key_that_is_no_text_is_refused(path: Path) -> None:
    with lmdb.open(str(path), subdir=False, lock=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"\xff", b"")
    with pytest.raises(DataError, match=r"images\.lmdb: the key b'\\xff' is not UTF-8"):
        opened(path, None)


def test_a_missing_package_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UserError, match=r'pip install "peftrec\[lmdb\]"'):
        opened(path)


def test_folders_and_zips_need_no_such_package(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", small_contents())
    program = (
        "import sys; from pathlib import Path; from peftrec.data.images.opening import open_images\n"
        f"open_images(Path({str(folder)!r}), ['a'], 'data.images').load(0)\n"
        "sys.exit('lmdb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_published_kind_is_told_from_ours(tmp_path: Path, path: Path) -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    published = opened(write_published(tmp_path / "published.lmdb", {"a": pixels}), None)
    assert not published.holds_files
    assert opened(path).holds_files
    assert published.names == ("a",)
