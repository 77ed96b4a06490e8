"""From the bytes of a file to an RGB image, and the blank that stands in for an image that is not there.

What a file declares is compared with bounds before anything of it is decoded: a few kilobytes can declare an image of
gigabytes.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from peftrec.data.choices import MAX_IMAGE_PIXELS, Orientation
from peftrec.errors import DataError

Image.MAX_IMAGE_PIXELS = None
"""Pillow's own bound, which warns first: ours is checked at the same place, and a user can set it."""

HAS_AVIF = "avif" in features.modules and features.check_module("avif")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", *(("AVIF",) if HAS_AVIF else ()))
"""What a file may hold, whatever its suffix says; Pillow's other plug-ins (PostScript runs a program) stay closed."""
READ = "JPEG, PNG, WebP, GIF, BMP or AVIF"

OTHER_KINDS = (
    (rb"II\*\x00", "TIFF"),
    (rb"MM\x00\*", "TIFF"),
    (b"....ftyp(?:avif|avis)", "AVIF, which this Pillow is built without"),
    (b"....ftyp(?:hei|hev|mif1|msf1)", "HEIC"),
    (b"\xff\x0a|....JXL ", "JPEG XL"),
    (b"....jP  ", "JPEG 2000"),
    (b"8BPS", "Photoshop's"),
    (b"%PDF", "PDF"),
    (rb"\s*(?:<\?xml[^>]*>\s*)?<svg", "SVG"),
    (rb"\s*<(?:!doctype\s+)?html", "an HTML page"),
    (b"version https://git-lfs", "a Git LFS pointer, in place of which `git lfs pull` puts the file"),
)
"""How files begin that are taken for images and not read, and what they are."""

BLANK_SIZE = (224, 224)
BLANK_COLOUR = (128, 128, 128)
"""Middle grey: next to zero after the paper's normalisation (mean and deviation 0.5)."""

PAPER_WHITE = (255, 255, 255, 255)
"""What shows through transparent pixels; catalogue photographs stand on white."""

BYTES_A_PIXEL = 8
"""Of an uncompressed image of the formats above, 16 bits in four channels."""
BYTES_BESIDE_PIXELS = 2**24
"""Room for headers, colour profiles and previews."""

ORIENTATION_TAG = 0x0112
"""EXIF: how the camera was held (CIPA DC-008, 4.6.4)."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Value of the tag to what turns the image upright."""

DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    TypeError,
    OverflowError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's plug-ins raise on broken bytes; the warning only where warnings are errors."""


class CorruptImageError(DataError):
    """An image is there, but its bytes cannot be decoded."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How image files become images."""

    max_pixels: int = MAX_IMAGE_PIXELS
    """Width times height from which on an image is refused."""
    orientation: Orientation = "exif"
    key: str = "data.max_image_pixels"
    """How messages call the bound."""

    @property
    def max_bytes(self) -> int:
        """Size from which on no file is read: more than so many pixels take without compression."""
        return BYTES_A_PIXEL * self.max_pixels + BYTES_BESIDE_PIXELS

    def check_bytes(self, num_bytes: int, place: str) -> None:
        """Raise CorruptImageError for a file of so many bytes, as it declares, unpacked, where that is too large."""
        if num_bytes > self.max_bytes:
            raise CorruptImageError(
                f"{place}: {num_bytes:,} bytes, of which nothing was read; {self.key}={self.max_pixels} allows "
                f" {self.max_bytes:,}"
            )

    def check_size(self, width: int, height: int, place: str) -> None:
        """Raise CorruptImageError for an image of a size, as it declares, that is too large."""
        if width * height > self.max_pixels:
            raise CorruptImageError(
                f"{place}: {width:,} x {height:,} pixels, of which nothing was read; set {self.key}={width * height} "
                "if the memory holds such images, or make the image smaller"
            )


DEFAULT = Decoding()


def decode_rgb(content: bytes, place: str, how: Decoding = DEFAULT) -> Image.Image:
    """Decode completely, so that a truncated file fails here and not in a loader worker."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            how.check_size(image.width, image.height, place)
            image.load()
            return to_rgb(upright(image) if how.orientation == "exif" else image)
    except CorruptImageError:
        raise
    except UnidentifiedImageError as error:
        raise CorruptImageError(f"{place}: {len(content)} bytes that are no {READ} image{_kind(content)}") from error
    except DECODING_ERRORS as error:
        raise CorruptImageError(f"{place}: the image cannot be decoded ({error})") from error


def _kind(content: bytes) -> str:
    """Say what a file is that is not read, where its first bytes tell."""
    flags = re.DOTALL | re.IGNORECASE
    known = next((name for start, name in OTHER_KINDS if re.match(start, content[:256], flags)), None)
    return "" if known is None else f" but {known}"


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF says that the camera was held; a damaged or unknown entry says nothing."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1))
    except (*DECODING_ERRORS, UserWarning):  # a warning only where warnings are errors
        turn = None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode: 16-bit grey is scaled (Pillow would clip it to white), transparency is laid on white."""
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, PAPER_WHITE), layer).convert("RGB")
    return image.convert("RGB")


def blank_image() -> Image.Image:
    """Return the image of an item that has none."""
    return Image.new("RGB", BLANK_SIZE, BLANK_COLOUR)
