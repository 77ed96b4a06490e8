"""The data sets that are known by name, a few lines of each in the layout that its authors publish."""

import gzip
import shutil
from collections.abc import Mapping
from pathlib import Path

from peftrec.data.catalogue import Catalogue
from peftrec.data.readers.base import FileSource
from peftrec.settings.composition import compose_settings
from small_images import encoded

PUBLISHED = Path(__file__).parent / "data" / "datasets" / "published"

OVERRIDES: dict[str, dict[str, str]] = {
    "microlens": {
        "edition": "null",
        "interactions": "MicroLens-50k_pairs.csv",
        "items": "MicroLens-50k_titles.csv",
        "images": "MicroLens-50k_covers.zip",
    },
    "pixelrec": {"images": "cover"},
    "ninerec": {"dataset": "KU", "images": "KU_cover"},
    "amazon_2023": {"category": "Baby_Products"},
    "amazon_2018": {"category": "All_Beauty", "minimum_history": "4"},
    "amazon_2014": {"category": "Baby"},
    "hm": {"edition": "null"},
    "mmrec": {"dataset": "baby"},
    "movielens": {},
    "yelp": {"images": "photos"},
}
"""Data set to the keys that a user sets."""

PICTURES: dict[str, tuple[str, ...]] = {
    "microlens": tuple(f"MicroLens-50k_covers/{item}.jpg" for item in range(10, 15)),
    "pixelrec": tuple(f"cover/i{item}.jpg" for item in range(1, 6)),
    "ninerec": tuple(f"KU_cover/v{item}.jpg" for item in range(1, 7)),
    "hm": tuple(
        f"images/{article[:3]}/{article}.jpg"
        for article in ("0108775015", "0108775044", "0110065001", "0111565001", "0111586001")
    ),
    "yelp": tuple(f"photos/p{photo}.jpg" for photo in range(6)),
}
"""Pictures below the root, by data set; those of MicroLens are packed into the zip that its authors give."""


def write_dataset(name: str, folder: Path) -> Path:
    """Copy the published lines, and make pictures for them."""
    root = shutil.copytree(PUBLISHED / name, folder / name)
    for number, picture in enumerate(PICTURES.get(name, ())):
        (root / picture).parent.mkdir(parents=True, exist_ok=True)
        (root / picture).write_bytes(encoded(number, "jpg"))
    if name == "microlens":
        covers = root / "MicroLens-50k_covers"
        shutil.make_archive(str(covers), "zip", root_dir=root, base_dir=covers.name)
        shutil.rmtree(covers)
    return root


def source_of(name: str, root: Path, keys: Mapping[str, str] | None = None) -> FileSource:
    """Compose a data set by its name, as a command line does."""
    given = {**OVERRIDES[name], **(keys or {})}
    words = [f"data={name}", f"data.root={root}", *(f"data.{key}={value}" for key, value in given.items())]
    source = compose_settings(words).data
    assert isinstance(source, FileSource)
    return source


def read_dataset(name: str, root: Path, **keys: str) -> Catalogue:
    """Read a data set with all that it has."""
    source = source_of(name, root, keys)
    return source.read(titles=["text"] * source.has_text, images=["image"] * source.has_images)


def histories_of(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the items of each user, by name."""
    interactions = catalogue.interactions
    named = ([catalogue.items.ids[item] for item in history] for history in interactions)
    return dict(zip(interactions.users, named, strict=True))


def compress(file: Path) -> None:
    """Put `file.gz` in the place of a file."""
    Path(f"{file}.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
