"""Images a second from each kind of store, decoded and resized, against Pillow on the same bytes in memory.

    python benchmarks/image_stores.py [--images SOURCE] [--count 2000] [--rounds 5] [--side 224]

Without SOURCE (a folder, zip or LMDB), JPEGs of 224 pixels with the noise of a photograph are made. Every round reads
the same images in the same random order from each store, one after the other in one thread, as a loader worker does;
the plain road decodes and resizes with Pillow alone. Ratios are medians over rounds, above one where a store is
slower. The published layout keeps raw pixels, so it decodes nothing and reads ten times the bytes. The last lines time
what a run does once before training: the check of all images in threads, the same remembered, and the fingerprint.
"""

import argparse
import io
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image

from peftrec.data.content import ImageTransform
from peftrec.data.images import checking
from peftrec.data.images.opening import open_images
from peftrec.data.images.packing import Conversion, pack_images
from peftrec.data.images.rendered import RenderedImages
from peftrec.data.images.stored import StoredImages

MADE_SIDE, NOISE, QUALITY = 224, 6, 90


def make_folder(folder: Path, count: int) -> Path:
    """Write JPEGs of smooth colours with noise: some 13 kB each at 224 pixels."""
    folder.mkdir()
    rendered = RenderedImages(ids=tuple(f"item{item:06d}" for item in range(count)), side=MADE_SIDE)
    generator = np.random.default_rng(0)
    for item, item_id in enumerate(rendered.ids):
        noise = generator.integers(-NOISE, NOISE + 1, (MADE_SIDE, MADE_SIDE, 3))
        pixels = np.clip(np.asarray(rendered.load(item)).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{item_id}.jpg", quality=QUALITY)
    return folder


def copy_folder(source: StoredImages, folder: Path, count: int) -> Path:
    """Write the first `count` images of a source as files."""
    folder.mkdir()
    for name in [name for name in source.names if name][:count]:
        (folder / f"{source.item_id(name)}.jpg").write_bytes(source.read(name))
    return folder


class LMDB_Image:  # noqa: N801
    """Has the fields of the class whose objects the published layout holds."""

    def __init__(self, pixels: np.ndarray, item_id: str) -> None:
        self.channels, self.size = pixels.shape[2], pixels.shape[:2]
        self.image, self.id = pixels.tobytes(), item_id


def write_published(source: StoredImages, path: Path) -> Path:
    """Write the published layout from the same images."""
    with (
        lmdb.open(str(path), subdir=False, lock=False, map_size=2**38, sync=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for item, name in enumerate(source.names):
            item_id = source.item_id(str(name))
            transaction.put(item_id.encode(), pickle.dumps(LMDB_Image(np.asarray(source.load(item)), item_id)))
        transaction.put(b"__keys__", pickle.dumps(len(source)))
    return path


def seconds_of(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def stores(directory: Path, source: Path | None, count: int) -> dict[str, StoredImages]:
    """Return the same images in every kind of store."""
    if source is None:
        folder = make_folder(directory / "images", count)
    else:
        folder = copy_folder(open_images(source, None, key="--images"), directory / "images", count)
    opened = {"folder": open_images(folder, None, key="folder")}
    for kind in ("zip", "lmdb"):
        target = directory / f"images.{kind}"
        pack_images(opened["folder"], target, Conversion(), skip_corrupt=False, advance=int)
        opened[kind] = open_images(target, None, key=kind)
    published = write_published(opened["folder"], directory / "published.lmdb")
    return opened | {"published": open_images(published, None, key="published")}


def compare(opened: dict[str, StoredImages], transform: ImageTransform, rounds: int) -> None:
    """Alternate the roads, and print images a second and ratios."""
    folder = opened["folder"]
    contents = [folder.read(str(name)) for name in folder.names]
    size = (transform.width, transform.height)
    print(f"{len(contents)} images, {sum(map(len, contents)) / len(contents) / 1e3:.1f} kB each")

    def plain(item: int) -> None:
        image = Image.open(io.BytesIO(contents[item])).convert("RGB")
        np.asarray(image.resize(size, Image.Resampling.BILINEAR))

    roads: dict[str, Callable[[int], object]] = {"plain": plain}
    for kind, images in opened.items():
        roads[kind] = lambda item, images=images: transform.pixels(images.load(item))
    seconds: dict[str, list[float]] = {kind: [] for kind in roads}
    for number in range(rounds + 1):
        order = np.random.default_rng(number).permutation(len(contents)).tolist()
        for kind, road in roads.items():
            seconds[kind].append(seconds_of(lambda road=road, order=order: [road(item) for item in order]))
    plainly = seconds["plain"][1:]  # the first round warms the page cache
    for kind, times in seconds.items():
        ratio = statistics.median(own / base for own, base in zip(times[1:], plainly, strict=True))
        print(f"{kind:<10} {len(contents) / statistics.median(times[1:]):7.0f} images/s   ratio_to_plain {ratio:.2f}")


def time_checks(opened: dict[str, StoredImages]) -> None:
    """Print what a run does once before training."""
    checking.REMEMBERED_FROM = 1
    for kind, images in opened.items():
        items = range(len(images))
        check, again = (seconds_of(lambda: checking.corrupt_images(images, items)) for _ in range(2))  # noqa: B023
        hashing = seconds_of(images.fingerprint)
        print(f"{kind:<10} check {check:.2f} s, remembered {again:.3f} s, fingerprint {hashing:.3f} s")


def main() -> None:
    """Make the stores in a temporary folder and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder, zip or LMDB; made where absent")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=224, help="pixels of the image tower")
    arguments = parser.parse_args()
    transform = ImageTransform(height=arguments.side, width=arguments.side, mean=(0.5,) * 3, std=(0.5,) * 3)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        opened = stores(Path(name), arguments.images, arguments.count)
        if arguments.rounds:
            compare(opened, transform, arguments.rounds)
        time_checks(opened)


if __name__ == "__main__":
    main()
