"""Small images in every kind of store."""

import gc
import io
import pickle
import sys
import zipfile
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image

from peftrec.data.images.lmdb import _OPENED, data_file
from peftrec.data.images.opening import open_images
from peftrec.data.images.packing import Conversion, pack_images

IDS = ("a", "b", "c", "d")


def encoded(seed: int, suffix: str = "png", mode: str = "RGB", size: tuple[int, int] = (6, 8)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, {"jpg": "jpeg"}.get(suffix, suffix))
    return stream.getvalue()


def small_contents() -> dict[str, bytes]:
    """One file a format, by name."""
    suffixes = ("jpg", "JPEG", "png", "webp")
    return {
        f"{item}.{suffix}": encoded(seed, suffix.lower())
        for seed, (item, suffix) in enumerate(zip(IDS, suffixes, strict=True))
    }


def write_folder(path: Path, contents: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(f"some/folder/{name}", content)
    return path


def write_lmdb(path: Path, contents: dict[str, bytes]) -> Path:
    """Pack with our own writer."""
    pack(write_zip(path.with_suffix(".zip"), contents), path)
    return path


def pack(source: Path, target: Path, **options: int) -> Path:
    images = open_images(source, None, key="SOURCE")
    pack_images(images, target, Conversion(**options), skip_corrupt=False, advance=lambda count: None)
    return target


def replace_value(path: Path, key: str, value: bytes | None) -> None:
    """Write or delete one entry of an LMDB, which nobody may have open."""
    status = data_file(path).stat()
    if (status.st_dev, status.st_ino) in _OPENED:
        gc.collect()  # tracebacks of expected errors hold what was open
    with (
        lmdb.open(str(path), subdir=path.is_dir(), lock=False, map_size=2**24) as environment,
        environment.begin(write=True) as transaction,
    ):
        if value is None:
            transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)


class LMDB_Image:  # noqa: N801
    """Has the fields of the class whose objects IISAN's script pickles."""

    def __init__(self, pixels: np.ndarray, item_id: str) -> None:
        self.channels = pixels.shape[2]
        self.size = pixels.shape[:2]
        self.image = pixels.tobytes()
        self.id = item_id


def published_value(pixels: np.ndarray, item_id: str, protocol: int = 4) -> bytes:
    """Pickle an object of `__main__.LMDB_Image`, as the script does."""
    main = sys.modules["__main__"]
    LMDB_Image.__module__ = "__main__"
    main.LMDB_Image = LMDB_Image  # type: ignore[attr-defined]
    try:
        return pickle.dumps(LMDB_Image(pixels, item_id), protocol=protocol)
    finally:
        del main.LMDB_Image  # type: ignore[attr-defined]


def write_published(path: Path, pictures: dict[str, np.ndarray], protocol: int = 4) -> Path:
    """Write the file as IISAN's script does: values, then the keys and their number, pickled."""
    with lmdb.open(str(path), subdir=False, lock=False, map_size=2**24) as environment:
        with environment.begin(write=True) as transaction:
            for item_id, pixels in pictures.items():
                transaction.put(item_id.encode("ascii"), published_value(pixels, item_id, protocol))
        with environment.begin(write=True) as transaction:
            transaction.put(b"__keys__", pickle.dumps([item_id.encode("ascii") for item_id in pictures]))
            transaction.put(b"__len__", pickle.dumps(len(pictures)))
    return path
