"""Product pictures: a patterned, coloured silhouette on a pale background, drawn for all items at once.

Only additions, multiplications and comparisons touch pixels, so the bytes are the same on every machine; sines and
exponentials differ in their last bit between processors.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from PIL import Image

from peftrec.data.synthetic.attributes import Attributes, Indices

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Drawing = Callable[[Plane, Plane], Mask]
"""Which points of the plane, given by x and y, are drawn."""

COLOURS = np.array(
    [
        (204, 40, 44),  # red
        (236, 132, 24),  # orange
        (226, 200, 40),  # yellow
        (52, 152, 64),  # green
        (32, 164, 176),  # teal
        (44, 76, 188),  # blue
        (136, 60, 164),  # purple
        (96, 66, 44),  # brown
    ],
    dtype=np.float32,
)
COLOUR_JITTER = 14
"""Levels by which an item's red, green and blue may stray; far less than what separates two colours."""
PATTERN_CONTRAST = np.float32(0.62)
"""How far the light parts of a pattern move towards white."""
SUBPIXELS = 2
"""Side of the grid of samples that one pixel averages."""
NOISE_LEVELS = 5
CHUNK = 256
"""Pictures drawn at once; bounds memory."""


def _box(x: Plane, y: Plane, across: tuple[float, float], down: tuple[float, float]) -> Mask:
    return (x > across[0]) & (x < across[1]) & (y > down[0]) & (y < down[1])


def _ring(x: Plane, y: Plane, centre: tuple[float, float], inner: float, outer: float) -> Mask:
    distance = (x - np.float32(centre[0])) ** 2 + (y - np.float32(centre[1])) ** 2
    return (distance > inner**2) & (distance < outer**2)


def _wedge(x: Plane, y: Plane, top: float, bottom: float, widths: tuple[float, float]) -> Mask:
    share = (y - np.float32(top)) / np.float32(bottom - top)
    half_width = np.float32(widths[0]) + share * np.float32(widths[1] - widths[0])
    return (y > top) & (y < bottom) & (np.abs(x) < half_width)


# Silhouettes in the order of KIND_WORDS, in coordinates from -1 (left, top) to 1 (right, bottom).
SILHOUETTES: tuple[Drawing, ...] = (
    lambda x, y: (
        _box(x, y, (-0.75, 0.75), (-0.2, 0.9))
        | (_ring(x, y, (0.0, -0.2), 0.32, 0.55) & _box(x, y, (-1, 1), (-1, -0.1)))
    ),
    lambda x, y: (
        _box(x, y, (-0.8, 0.4), (-0.65, 0.75)) | (_ring(x, y, (0.45, 0.05), 0.26, 0.5) & _box(x, y, (0.3, 1), (-1, 1)))
    ),
    lambda x, y: (
        _wedge(x, y, -0.9, 0.15, (0.3, 0.85))
        | _box(x, y, (-0.12, 0.12), (0.1, 0.9))
        | _box(x, y, (-0.5, 0.5), (0.72, 0.9))
    ),
    lambda x, y: _ring(x, y, (0.0, 0.0), 0.0, 0.85),
    lambda x, y: _box(x, y, (-0.42, 0.42), (-0.25, 0.95)) | _box(x, y, (-0.18, 0.18), (-0.95, -0.2)),
    lambda x, y: _box(x, y, (-0.98, 0.98), (-0.42, 0.42)),
    lambda x, y: _box(x, y, (-0.5, 0.5), (-0.7, 0.9)) | _box(x, y, (-0.98, 0.98), (-0.7, -0.15)),
    lambda x, y: _wedge(x, y, -0.9, 0.85, (0.0, 1.0)),
)

# Which parts are light: plain, rows, columns, checks, dots, diagonals; coordinates are pixels of a 32-pixel picture.
PATTERNS: tuple[Drawing, ...] = (
    lambda x, y: np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool),
    lambda x, y: _is_odd(y + 0 * x, 2.0),
    lambda x, y: _is_odd(x + 0 * y, 2.0),
    lambda x, y: _is_odd(x, 4.0) ^ _is_odd(y, 4.0),
    lambda x, y: ((x % 4.0) - 2.0) ** 2 + ((y % 4.0) - 2.0) ** 2 < 1.35**2,
    lambda x, y: _is_odd(x + y, 4.0),
)


def _is_odd(position: Plane, width: float) -> Mask:
    return position % np.float32(2 * width) >= width


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What varies freely from picture to picture, besides the attributes."""

    shift: Plane
    scale: Plane
    phase: Plane
    colour: Plane
    background: Plane
    noise: npt.NDArray[np.int8]

    @classmethod
    def draw(cls, generator: np.random.Generator, attributes: Attributes, size: int) -> "_Scene":
        count = len(attributes)
        jitter = generator.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, (count, 1, 1, 3))
        colour = COLOURS[attributes.colour][:, None, None, :] + jitter.astype(np.float32)
        return cls(
            shift=generator.integers(-16, 17, (count, 2, 1, 1)).astype(np.float32) / np.float32(256),
            scale=generator.integers(76, 91, (count, 1, 1)).astype(np.float32) / np.float32(100),
            phase=generator.integers(0, 5, (count, 2, 1, 1)).astype(np.float32) / np.float32(4),
            colour=np.clip(colour, 0, 255),
            background=generator.integers(205, 246, (count, 1, 1, 1)).astype(np.float32),
            noise=generator.integers(-NOISE_LEVELS, NOISE_LEVELS + 1, (count, size, size, 1), dtype=np.int8),
        )

    def rows(self, chosen: slice) -> "_Scene":
        return _Scene(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def render_pictures(generator: np.random.Generator, attributes: Attributes, size: int) -> Pixels:
    """Draw one picture per item; place, scale, exact colour, pattern phase, background and noise vary freely."""
    scene = _Scene.draw(generator, attributes, size)
    pixels = np.empty((len(attributes), size, size, 3), dtype=np.uint8)
    for start in range(0, len(attributes), CHUNK):
        chunk = slice(start, start + CHUNK)
        pixels[chunk] = _render(scene.rows(chunk), attributes.kind[chunk], attributes.pattern[chunk], size)
    return pixels


def _render(scene: _Scene, kind: Indices, pattern: Indices, size: int) -> Pixels:
    # Centres of the samples, from -1 to 1; a pattern counts in pixels of a 32-pixel picture.
    steps = np.arange(1, 2 * size * SUBPIXELS, 2, dtype=np.float32)
    axis = steps / np.float32(size * SUBPIXELS) - np.float32(1)
    columns, rows = axis[None, None, :], axis[None, :, None]
    is_product = _choose(
        SILHOUETTES, kind, (columns - scene.shift[:, 0]) / scene.scale, (rows - scene.shift[:, 1]) / scene.scale
    )
    is_light = _choose(
        PATTERNS, pattern, columns * np.float32(16) + scene.phase[:, 0], rows * np.float32(16) + scene.phase[:, 1]
    )
    product_share = _average(is_product)[..., None]
    light_share = _average(is_product & is_light)[..., None]
    light = scene.colour + (255 - scene.colour) * PATTERN_CONTRAST
    picture = scene.background + product_share * (scene.colour - scene.background)
    picture += light_share * (light - scene.colour) + scene.noise
    return np.clip(picture, 0, 255).astype(np.uint8)


def _choose(drawings: Sequence[Drawing], chosen: Indices, x: Plane, y: Plane) -> Mask:
    """Draw every item with the drawing it chose; `x` and `y` broadcast to item, height, width."""
    mask = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for value, draw in enumerate(drawings):
        items = np.flatnonzero(chosen == value)
        mask[items] = draw(x[items], y[items])
    return mask


def _average(samples: Mask) -> Plane:
    """Average the samples of each pixel."""
    count, height, width = samples.shape
    grid = samples.reshape(count, height // SUBPIXELS, SUBPIXELS, width // SUBPIXELS, SUBPIXELS)
    return grid.mean(axis=(2, 4), dtype=np.float32)


@dataclass(frozen=True)
class RenderedPictures:
    """Pictures that live in memory (an `ImageSource`)."""

    pixels: Pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, item: int) -> Image.Image:
        """Return the item's picture in RGB."""
        return Image.fromarray(self.pixels[item])

    def select(self, items: Sequence[int]) -> "RenderedPictures":
        """Return the pictures of `items`, in their order."""
        return RenderedPictures(self.pixels[np.asarray(items, dtype=np.int64)])

    def fingerprint(self) -> str:
        """Hash shape and pixels; they are in memory already, so nothing is decoded."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()
