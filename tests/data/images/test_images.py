"""Images in folders, zips and LMDBs: the same pixels from each, in any process, and errors that name the file."""

import io
import multiprocessing
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from peftrec.data.images.checking import find_corrupt
from peftrec.data.images.decoding import BLANK_COLOUR, HAS_AVIF, CorruptImageError, decode_rgb
from peftrec.data.images.folder import FolderImages
from peftrec.data.images.opening import open_images
from peftrec.data.images.stored import StoredImages
from peftrec.data.images.zip import ZipImages
from peftrec.errors import DataError
from small_images import IDS, encoded, small_contents, write_folder, write_lmdb, write_zip


@pytest.fixture
def contents() -> dict[str, bytes]:
    return small_contents()


@pytest.fixture(params=["folder", "stored", "deflated", "lmdb"])
def source(request: pytest.FixtureRequest, tmp_path: Path, contents: dict[str, bytes]) -> StoredImages:
    if request.param == "folder":
        return open_images(write_folder(tmp_path / "images", contents), IDS, key="data.images")
    if request.param == "lmdb":
        return open_images(write_lmdb(tmp_path / "images.lmdb", contents), IDS, key="data.images")
    compression = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[request.param]
    return open_images(write_zip(tmp_path / "images.zip", contents, compression), IDS, key="data.images")


def pixels(source: StoredImages, item: int) -> np.ndarray:
    return np.array(source.load(item))


class Decoded(Dataset):
    def __init__(self, source: StoredImages) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, item: int) -> np.ndarray:
        return pixels(self.source, item)


def test_every_suffix_is_read_as_pillow_reads_it(source: StoredImages, contents: dict[str, bytes]) -> None:
    for item, content in enumerate(contents.values()):
        np.testing.assert_array_equal(pixels(source, item), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_select_keeps_the_given_order(source: StoredImages) -> None:
    chosen = source.select([2, 0])
    assert len(chosen) == 2
    np.testing.assert_array_equal(pixels(chosen, 0), pixels(source, 2))
    np.testing.assert_array_equal(pixels(chosen, 1), pixels(source, 0))


def test_an_opened_source_survives_pickling(source: StoredImages) -> None:
    source.load(0)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(pixels(again, 3), pixels(source, 3))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_forked_loader_workers_read_what_the_parent_reads(source: StoredImages) -> None:
    direct = [pixels(source, item) for item in range(len(source))]
    loader = DataLoader(Decoded(source), batch_size=None, num_workers=2, multiprocessing_context="fork")
    for read, expected in zip(loader, direct, strict=True):
        np.testing.assert_array_equal(read, expected)
    np.testing.assert_array_equal(pixels(source, 0), direct[0])


def test_a_forked_process_opens_the_zip_anew(
    tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_images(write_zip(tmp_path / "images.zip", contents), IDS, key="data.images")
    assert isinstance(source, ZipImages)
    inherited = source.handle.get()
    assert source.handle.get() is inherited
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert source.handle.get() is not inherited


def test_the_fingerprint_follows_content_and_order_without_decoding(
    tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)
    changed = contents | {"a.jpg": contents["a.jpg"] + b"x"}
    prints = []
    for number, content in enumerate([contents, contents, changed]):
        folder = FolderImages.open(write_folder(tmp_path / f"{number}", content), IDS)
        archive = ZipImages.open(write_zip(tmp_path / f"{number}.zip", content), IDS)
        prints.append((folder.fingerprint(), archive.fingerprint()))
        assert folder.select([1, 0]).fingerprint() != folder.select([0, 1]).fingerprint()
        assert archive.blank([0]).fingerprint() != archive.fingerprint()
    assert prints[0] == prints[1]
    assert prints[0][0] != prints[2][0]
    assert prints[0][1] != prints[2][1]


def test_a_zip_sees_a_change_that_keeps_the_size(tmp_path: Path, contents: dict[str, bytes]) -> None:
    swapped = contents | {"a.jpg": contents["a.jpg"][:-1] + b"x"}
    first = ZipImages.open(write_zip(tmp_path / "first.zip", contents), IDS)
    second = ZipImages.open(write_zip(tmp_path / "second.zip", swapped), IDS)
    assert first.fingerprint() != second.fingerprint()


def test_blank_images_are_grey_and_missing_ones_an_error(tmp_path: Path, contents: dict[str, bytes]) -> None:
    del contents["b.JPEG"]
    source = open_images(write_folder(tmp_path / "images", contents), IDS, key="data.images")
    with pytest.raises(DataError, match=r"images.*item number 1 has no image"):
        source.load(1)
    assert source.blank([1]).load(1).getpixel((0, 0)) == BLANK_COLOUR


@pytest.mark.parametrize("damage", [b"", b"no image at all", encoded(1)[:-30], encoded(1, "jpg")[:300]])
def test_damaged_images_name_their_file(tmp_path: Path, damage: bytes, contents: dict[str, bytes]) -> None:
    contents["a.jpg"] = damage
    folder = open_images(write_folder(tmp_path / "images", contents), IDS, key="data.images")
    archive = open_images(write_zip(tmp_path / "images.zip", contents), IDS, key="data.images")
    with pytest.raises(CorruptImageError, match=r"images.a\.jpg"):
        folder.load(0)
    with pytest.raises(CorruptImageError, match=r"images\.zip:some/folder/a\.jpg"):
        archive.load(0)
    assert list(find_corrupt(folder, range(4))) == list(find_corrupt(archive, range(4))) == [0]


def test_a_flipped_bit_in_a_stored_zip_is_corrupt(tmp_path: Path, contents: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "images.zip", contents)
    content = bytearray(path.read_bytes())
    content[content.index(contents["a.jpg"]) + len(contents["a.jpg"]) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptImageError, match=r"a\.jpg.*CRC"):
        open_images(path, IDS, key="data.images").load(0)


def test_sources_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"posters: no such folder, zip or LMDB of images: correct data\.images"):
        open_images(tmp_path / "posters", IDS, key="data.images")
    (tmp_path / "posters.zip").write_bytes(b"not a zip")
    with pytest.raises(
        DataError, match=r"posters\.zip: the zip of images cannot be opened .*write it again, or name another$"
    ):
        open_images(tmp_path / "posters.zip", IDS, key="data.images")


def test_an_image_deleted_later_is_an_error_but_not_corrupt(tmp_path: Path, contents: dict[str, bytes]) -> None:
    source = open_images(write_folder(tmp_path / "images", contents), IDS, key="data.images")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg: the image cannot be read \(No such file") as caught:
        find_corrupt(source, [0])
    assert not isinstance(caught.value, CorruptImageError)


def test_two_images_of_one_item_are_refused(tmp_path: Path, contents: dict[str, bytes]) -> None:
    contents["a.png"] = encoded(9)
    with pytest.raises(DataError, match=r"images: item 'a' has two images, a\.jpg and a\.png: remove one"):
        open_images(write_folder(tmp_path / "images", contents), IDS, key="data.images")


def test_images_lie_in_folders_below_and_links_are_followed_once(tmp_path: Path, contents: dict[str, bytes]) -> None:
    folder = write_folder(tmp_path / "images", {"a.jpg": contents["a.jpg"]})
    for place, name in (("0/1", "b.JPEG"), ("linked", "c.png"), ("images/.thumbnails", "d.webp")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / name).write_bytes(contents[name])
    (tmp_path / "0").rename(folder / "0")
    (folder / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "linked" / "circle").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    source = open_images(folder, IDS, key="data.images")
    assert source.names == ("a.jpg", "0/1/b.JPEG", "link/c.png", None)
    assert open_images(folder, None, key="SOURCE").names == source.names[:3]
    np.testing.assert_array_equal(pixels(source, 1), np.asarray(Image.open(io.BytesIO(contents["b.JPEG"]))))


@pytest.mark.parametrize("suffix", ["gif", "bmp", "avif", "jfif", "GIF"])
def test_other_suffixes_are_read(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and not HAS_AVIF:
        pytest.skip("this Pillow is built without AVIF")
    content = encoded(3, {"jfif": "jpg"}.get(suffix, suffix.lower()), mode="P" if suffix.lower() == "gif" else "RGB")
    source = open_images(write_folder(tmp_path / "images", {f"a.{suffix}": content}), ["a"], key="data.images")
    np.testing.assert_array_equal(pixels(source, 0), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_picture_of_another_format_is_named_for_the_item_that_lacks_one(
    tmp_path: Path, kind: str, contents: dict[str, bytes]
) -> None:
    contents |= {"x.tif": b"", "x.txt": b"", "a.heic": b"", "other.tif": b""}
    path = tmp_path / f"images.{kind}"
    (write_folder if kind == "folder" else write_zip)(path, contents)
    source = open_images(path, [*IDS, "x"], key="data.images")
    assert source.unread == ("x.tif" if kind == "folder" else "some/folder/x.tif",)
    assert source.instead("x") == f"; {source.place(source.unread[0])} is there, of a format that is not read"
    assert source.instead("a") == ""


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"II*\0rest", "TIFF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"<?xml version='1.0'?>\n<svg>", "SVG"),
        (b"\n<!DOCTYPE html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\xff\x0a....", "JPEG XL"),
    ],
)
def test_what_is_no_image_is_called_by_its_name(content: bytes, kind: str) -> None:
    with pytest.raises(CorruptImageError, match=rf"a: \d+ bytes that are no JPEG, .* or AVIF image but {kind}"):
        decode_rgb(content, "a")


def test_transparent_pixels_are_white() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(stream, "png")
    assert decode_rgb(stream.getvalue(), "a").getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([10, 20, 30])
    stream = io.BytesIO()
    palette.save(stream, "png", transparency=0)
    assert decode_rgb(stream.getvalue(), "a").getpixel((0, 0)) == (255, 255, 255)


def test_every_mode_keeps_its_colour() -> None:
    grey = np.full((4, 4), 0x8012, dtype=np.uint16)
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "png")
    assert decode_rgb(stream.getvalue(), "a").getpixel((0, 0)) == (0x80, 0x80, 0x80)
    for mode, suffix in [("P", "png"), ("L", "png"), ("LA", "png"), ("RGBA", "webp"), ("CMYK", "jpeg")]:
        stream = io.BytesIO()
        Image.new("RGB", (16, 16), (204, 204, 204)).convert(mode).save(stream, suffix)
        decoded = decode_rgb(stream.getvalue(), "a")
        assert decoded.mode == "RGB"
        assert np.abs(np.asarray(decoded).astype(int) - 204).max() <= 3, mode
