"""Packing: the same bytes in another container, whole or not at all."""

import io
import signal
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peftrec.data.images import writing
from peftrec.data.images.opening import open_images
from peftrec.data.images.packing import BATCH, Conversion, pack_images
from peftrec.errors import DataError
from peftrec.files import partial_name
from small_images import (
    encoded,
    pack,
    replace_value,
    small_contents,
    write_folder,
    write_lmdb,
    write_published,
    write_zip,
)


def contents_of(path: Path) -> dict[str, bytes]:
    images = open_images(path, None, key="SOURCE")
    return {images.item_id(name): images.read(name) for name in images.names if name}


EXPECTED = {name.partition(".")[0]: content for name, content in small_contents().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", small_contents())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_bytes_are_equal_through_every_container(tmp_path: Path, folder: Path) -> None:
    road = [folder, *(tmp_path / name for name in ("1.zip", "2.lmdb", "3.lmdb", "4.zip"))]
    for source, target in pairwise(road):
        assert contents_of(pack(source, target)) == EXPECTED
    assert road[1].read_bytes() == road[4].read_bytes()
    with zipfile.ZipFile(road[4]) as archive:
        assert archive.namelist() == ["a.jpg", "b.jpg", "c.png", "d.webp"]
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_more_images_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    contents = {f"{number}.png": encoded(number) for number in range(2 * BATCH + 3)}
    target = pack(write_zip(tmp_path / "images.zip", contents), tmp_path / "images.lmdb")
    found = contents_of(target)
    assert list(found) == sorted(found)
    assert found == {name.partition(".")[0]: content for name, content in contents.items()}


def test_an_lmdb_outgrows_its_first_address_space_and_is_not_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "FIRST_MAP", 2**16)
    contents = {f"{number}.png": encoded(number, size=(64, 64)) for number in range(100)}
    target = pack(write_zip(tmp_path / "images.zip", contents), tmp_path / "images.lmdb")
    assert len(contents_of(target)) == 100
    size = sum(map(len, contents.values()))
    assert size < target.stat().st_size < 2 * size
    assert target.stat().st_blocks * 512 >= target.stat().st_size - 4096


def test_hidden_and_other_files_are_no_images(tmp_path: Path, folder: Path) -> None:
    for name in (".hidden.jpg", "._a.jpg", ".jpg", "notes.txt"):
        (folder / name).write_bytes(b"no image")
    assert contents_of(pack(folder, tmp_path / "images.zip")) == EXPECTED


def test_size_shrinks_the_short_side_and_enlarges_nothing(tmp_path: Path) -> None:
    contents = {"wide.png": encoded(0, size=(90, 40)), "tall.png": encoded(1, size=(20, 41)), "small.png": encoded(2)}
    found = contents_of(pack(write_zip(tmp_path / "images.zip", contents), tmp_path / "x.lmdb", size=20, quality=80))
    with Image.open(io.BytesIO(found["wide"])) as wide:
        assert (wide.format, wide.size) == ("JPEG", (45, 20))
    assert found["tall"] == contents["tall.png"]
    assert found["small"] == contents["small.png"]


def test_quality_is_that_of_jpegs_made(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "images.zip", {"a.png": encoded(0, size=(90, 40))})
    sizes = [
        len(contents_of(pack(source, tmp_path / f"{quality}.zip", size=20, quality=quality))["a"])
        for quality in (30, 90)
    ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("target", ["x.zip", "x.lmdb"])
def test_published_pixels_become_png_without_loss_or_jpegs_of_a_size(tmp_path: Path, target: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    source = write_published(tmp_path / "am_is.lmdb", {"B00A": pixels})
    images = open_images(pack(source, tmp_path / target), None, key="SOURCE")
    np.testing.assert_array_equal(np.asarray(images.load(0)), pixels)
    assert images.read(str(images.names[0])).startswith(b"\x89PNG")
    for size, expected in ((25, (35, 25)), (64, (70, 50))):
        small = open_images(pack(source, tmp_path / f"{size}-{target}", size=size), None, key="SOURCE")
        assert small.read(str(small.names[0])).startswith(b"\xff\xd8")
        assert small.load(0).size == expected


def corrupt(folder: Path, *items: str) -> None:
    for item in items:
        next(folder.glob(f"{item}.*")).write_bytes(b"no image")


def test_corrupt_images_are_named_and_refused_or_left_out(tmp_path: Path, folder: Path) -> None:
    corrupt(folder, "a", "c")
    with pytest.raises(DataError, match=r"2 of 4 images are corrupt: .*a\.jpg: 8 bytes.*c\.png.*corrupt=skip"):
        pack(folder, tmp_path / "images.zip")
    assert names(tmp_path) == {"images"}
    images = open_images(folder, None, key="SOURCE")
    done: list[int] = []
    packed = pack_images(images, tmp_path / "x.lmdb", Conversion(), skip_corrupt=True, advance=done.append)
    assert contents_of(tmp_path / "x.lmdb") == {item: EXPECTED[item] for item in "bd"}
    assert (packed.images, packed.bytes) == (2, len(EXPECTED["b"]) + len(EXPECTED["d"]))
    assert [fault.partition(": ")[0] for fault in packed.corrupt] == [str(folder / "a.jpg"), str(folder / "c.png")]
    assert sum(done) == 4


@pytest.mark.parametrize("skip", [True, False])
def test_nothing_but_corrupt_images_makes_no_file(tmp_path: Path, folder: Path, skip: bool) -> None:
    corrupt(folder, *"abcd")
    images = open_images(folder, None, key="SOURCE")
    with pytest.raises(DataError, match=r"4 of 4 images are corrupt: .* and 1 more; no image is left to write"):
        pack_images(images, tmp_path / "x.zip", Conversion(), skip_corrupt=skip, advance=lambda count: None)
    assert names(tmp_path) == {"images"}


def test_programs_in_a_published_file_stop_the_packing(tmp_path: Path) -> None:
    source = write_published(tmp_path / "am_is.lmdb", {"B00A": np.zeros((2, 2, 3), dtype=np.uint8)})
    replace_value(source, "B00A", b"cposix\nsystem\n(V:\ntR.")
    images = open_images(source, None, key="SOURCE")
    with pytest.raises(DataError, match=r"B00A: .*asks for 'posix.system'"):
        pack_images(images, tmp_path / "x.zip", Conversion(), skip_corrupt=True, advance=lambda count: None)
    assert names(tmp_path) == {"am_is.lmdb"}


def test_a_source_without_images_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images: no images; expected are .*<item>\.jpg \(or \.jpeg, \.png, \.webp"):
        pack(write_folder(tmp_path / "images", {"notes.txt": b""}), tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("item_id", "target", "expected"),
    [
        ("x" * 512, "x.zip", None),
        ("x" * 512, "x.lmdb", r"'xxx.*' \(512 bytes\) can be no key of an LMDB: rename"),
        ("__len__", "x.lmdb", "'__len__' .* can be no key"),
        ("a/b", "x.lmdb", None),
        ("a/b", "x.zip", "'a/b' makes no file name"),
        (".a", "x.zip", "makes no file name"),
    ],
)
def test_ids_must_suit_the_container(tmp_path: Path, item_id: str, target: str, expected: str | None) -> None:
    file = writing.ImageFile(item_id=item_id, content=encoded(0))
    writer = writing.WRITERS[Path(target).suffix]
    if expected is None:
        with writer(tmp_path / target) as write:
            write([file])
        return
    with pytest.raises(DataError, match=expected), writer(tmp_path / target) as write:
        write([file])


def test_the_target_may_replace_its_source(folder: Path, tmp_path: Path) -> None:
    target = pack(folder, tmp_path / "x.lmdb")
    pack(target, target, size=5)
    assert all(content.startswith(b"\xff\xd8") for content in contents_of(target).values())
    assert names(tmp_path) == {"images", "x.lmdb"}


def packing_program(source: Path, target: Path, before: str, advance: str = "None") -> list[str]:
    return [
        sys.executable,
        "-c",
        f"{before}; import os, sys; from pathlib import Path; from peftrec.data.images import opening, packing\n"
        f"images = opening.open_images(Path({str(source)!r}), None, 'SOURCE')\n"
        f"packing.pack_images(images, Path({str(target)!r}), packing.Conversion(), skip_corrupt=False, "
        f"advance=lambda count: {advance})",
    ]


@pytest.mark.parametrize("suffix", [".zip", ".lmdb"])
def test_a_full_disk_leaves_the_old_target_and_nothing_else(tmp_path: Path, folder: Path, suffix: str) -> None:
    old = pack(folder, tmp_path / f"x{suffix}")
    before = old.read_bytes()
    big = write_folder(tmp_path / "big", {f"{n}.png": encoded(n, size=(100, 100)) for n in range(20)})
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    done = subprocess.run(packing_program(big, old, limit), check=False, capture_output=True, text=True)
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"peftrec.errors.DataError: {old}: cannot be written (")
    assert ("bytes are free on the disk" if suffix == ".lmdb" else "File too large") in message
    assert message.endswith("); nothing was left there")
    assert old.read_bytes() == before
    assert names(tmp_path) == {"images", "big", old.name}


@pytest.mark.parametrize("suffix", [".zip", ".lmdb"])
def test_a_kill_leaves_nothing_that_opens_and_the_next_packing_sweeps(
    tmp_path: Path, folder: Path, suffix: str
) -> None:
    target = tmp_path / f"x{suffix}"
    program = packing_program(folder, target, "import signal", "os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run(program, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    (left,) = names(tmp_path) - {"images"}
    assert left.startswith(f".{target.name}.")
    assert left.endswith(".partial")
    other = tmp_path / partial_name("other.zip")
    other.touch()
    pack(folder, target)
    assert names(tmp_path) == {"images", target.name, other.name}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"x\.zip: cannot be written \((Not a directory|File exists)\)"):
        pack(folder, tmp_path / "file" / "x.zip")


def test_images_go_through_in_batches(tmp_path: Path) -> None:
    contents = {f"{number}.png": encoded(number) for number in range(3 * BATCH)}
    source = write_zip(tmp_path / "images.zip", contents)
    batches: list[int] = []
    images = open_images(source, None, key="SOURCE")
    pack_images(images, tmp_path / "x.zip", Conversion(), skip_corrupt=False, advance=batches.append)
    assert batches == [BATCH] * 3


def test_an_own_lmdb_is_packed_again(tmp_path: Path) -> None:
    source = write_lmdb(tmp_path / "1.lmdb", small_contents())
    assert contents_of(pack(source, tmp_path / "2.lmdb")) == EXPECTED
