"""Images that declare much and hold little, very long images, and images that a camera turned."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peftrec.cli import main as cli
from peftrec.data.content import MOST_RESIZED_PIXELS, ImageTransform
from peftrec.data.images.decoding import BYTES_BESIDE_PIXELS, CorruptImageError, Decoding, decode_rgb
from peftrec.data.images.opening import open_images
from small_images import encoded, pack, write_folder, write_zip

MEBIBYTE = 2**20


def png_of(width: int, height: int) -> bytes:
    """Declares a size, and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def peak_bytes(function: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_size_that_is_too_large_is_refused_before_a_pixel_is_decoded() -> None:
    with pytest.raises(CorruptImageError, match=r"a: 13,000 x 13,000 pixels.*data\.max_image_pixels=169000000 if"):
        decode_rgb(png_of(13_000, 13_000), "a")


def test_the_bound_is_the_users_and_not_pillows() -> None:
    content = encoded(1, size=(30, 40))
    assert decode_rgb(content, "a", Decoding(max_pixels=1200)).size == (30, 40)
    with pytest.raises(CorruptImageError, match="30 x 40"):
        decode_rgb(content, "a", Decoding(max_pixels=1199))
    with pytest.raises(
        CorruptImageError, match="cannot be decoded"
    ):  # by its content; no warning, no bound of Pillow's
        decode_rgb(png_of(20_000, 10_000), "a", Decoding(max_pixels=10**9))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_to_much_is_not_unpacked(compression: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", {"a.jpg": bytes(64 * MEBIBYTE)}, compression)
    images = open_images(path, ["a"], key="data.images").decoded(Decoding(max_pixels=1000))

    def read() -> None:
        with pytest.raises(CorruptImageError, match=r"a\.jpg: 67,108,864 bytes, of which nothing was read"):
            images.load(0)

    assert peak_bytes(read) < MEBIBYTE


def test_a_member_that_unpacks_to_more_than_it_declares_is_cut_off(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", {"a.jpg": bytes(64 * MEBIBYTE)}, zipfile.ZIP_DEFLATED)
    declared, lie = struct.pack("<I", 64 * MEBIBYTE), struct.pack("<I", 1000)
    path.write_bytes(path.read_bytes().replace(declared, lie))
    images = open_images(path, ["a"], key="data.images")

    def read() -> None:
        with pytest.raises(CorruptImageError, match="cannot be read"):
            images.load(0)

    assert peak_bytes(read) < 4 * MEBIBYTE


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", {"a.jpg": b""})
    with (folder / "a.jpg").open("wb") as stream:
        stream.truncate(BYTES_BESIDE_PIXELS + 8001)  # sparse
    images = open_images(folder, ["a"], key="data.images").decoded(Decoding(max_pixels=1000))
    with pytest.raises(CorruptImageError, match="nothing was read"):
        images.load(0)


def test_packing_has_the_bound_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "images", {"a.png": encoded(1, size=(30, 40)), "b.png": encoded(2)})
    words = ["images", "pack", str(tmp_path / "images"), str(tmp_path / "new.zip"), "max_image_pixels=1199"]
    assert cli.main(words) == 2
    assert "a.png: 30 x 40 pixels, of which nothing was read; set max_image_pixels=1200" in capsys.readouterr().err
    assert cli.main([*words[:-1], "max_image_pixels=1200"]) == 0


@pytest.mark.parametrize("size", [(65_000, 1), (1, 65_000), (20_000, 3)])
def test_of_a_very_long_image_only_the_middle_is_resized(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (200, 10, 60))
    transform = ImageTransform(height=224, width=224, mean=(0.5,) * 3, std=(0.5,) * 3, cropped_from=256)
    assert max(size) / min(size) * 256 * 256 > MOST_RESIZED_PIXELS
    pixels = transform.pixels(image)
    assert pixels.shape == (3, 224, 224)
    assert (pixels == np.array([200, 10, 60])[:, None, None]).all()


@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(300, 40), (41, 333), (64, 48)])
def test_resizing_the_middle_is_resizing_and_cropping(
    size: tuple[int, int], filter_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.open(io.BytesIO(encoded(3, size=size)))
    transform = ImageTransform(
        height=24, width=20, mean=(0.5,) * 3, std=(0.5,) * 3, resampling=filter_name, cropped_from=28
    )
    whole = transform.pixels(image).astype(int)
    monkeypatch.setattr("peftrec.data.content.MOST_RESIZED_PIXELS", 0)
    assert np.abs(transform.pixels(image).astype(int) - whole).max() <= 2  # each of two passes rounds


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_cameras_noted(orientation: int) -> None:
    upright = np.asarray(Image.open(io.BytesIO(encoded(4, size=(6, 4)))))
    turned = Image.fromarray(upright)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    from peftrec.data.images.decoding import UPRIGHT

    if inverse in UPRIGHT:
        turned = turned.transpose(UPRIGHT[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    turned.save(stream, "png", exif=exif)
    np.testing.assert_array_equal(np.asarray(decode_rgb(stream.getvalue(), "a")), upright)
    as_filed = decode_rgb(stream.getvalue(), "a", Decoding(orientation="file"))
    np.testing.assert_array_equal(np.asarray(as_filed), np.asarray(turned))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_says_nothing() -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(encoded(5))).save(stream, "jpeg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decode_rgb(stream.getvalue(), "a").size == (6, 8)


def test_the_policy_is_part_of_what_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", {"a.png": encoded(1)})
    images = open_images(path, ["a"], key="data.images")
    assert images.fingerprint() != images.decoded(Decoding(orientation="file")).fingerprint()
    assert images.fingerprint() == images.decoded(Decoding(max_pixels=10**9)).fingerprint()


def test_packing_smaller_images_keeps_them_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (80, 40)).save(stream, "jpeg", exif=exif)
    source = write_folder(tmp_path / "images", {"a.jpg": stream.getvalue()})
    target = pack(source, tmp_path / "new.zip", size=16)
    assert open_images(target, ["a"], key="data.images").load(0).size == (16, 32)
