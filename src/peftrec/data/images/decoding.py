"""From the bytes of a file to an RGB image, and the blank that stands in for an image that is not there."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from peftrec.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What a file may hold, whatever its suffix says; Pillow's other plug-ins (PostScript runs a program) stay closed."""

BLANK_SIZE = (224, 224)
BLANK_COLOUR = (128, 128, 128)
"""Middle grey: next to zero after the paper's normalisation (mean and deviation 0.5)."""

PAPER_WHITE = (255, 255, 255, 255)
"""What shows through transparent pixels; catalogue photographs stand on white."""

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


def decode_rgb(content: bytes, place: str) -> Image.Image:
    """Decode completely, so that a truncated file fails here and not in a loader worker."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            return to_rgb(image)
    except UnidentifiedImageError as error:
        raise CorruptImageError(
            f"{place}: {len(content)} bytes that are no JPEG, PNG, WebP, GIF or BMP image"
        ) from error
    except DECODING_ERRORS as error:
        raise CorruptImageError(f"{place}: the image cannot be decoded ({error})") from error


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
