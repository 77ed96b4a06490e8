"""Which file of a folder or zip is the image of which item: `<any folder>/<item>.jpg`, or another of the suffixes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peftrec.errors import DataError

SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "avif", "jfif")
UNREAD = frozenset({"tif", "tiff", "heic", "heif", "jxl", "jp2", "svg", "psd", "ico", "tga", "dng"})
"""Suffixes of pictures that are not read."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The image of each item, and what lies beside the images."""

    names: tuple[str | None, ...]
    """None where an item has no image."""
    unread: tuple[str, ...]
    """Pictures, by their suffix, of formats that are not read: those of items without an image, or all."""
    others: tuple[str, ...] = ()
    """Files that are no pictures by their suffix, where all images are asked for."""


def match_names(ids: Sequence[str] | None, names: Iterable[str], place: str) -> Matched:
    """Find the image of each id; two for one id are refused.

    Without ids, all images are found, in the order of their ids, but for hidden files.
    """
    wanted = None if ids is None else set(ids)
    found: dict[str, str] = {}
    unread: dict[str, str] = {}
    others: list[str] = []
    for name in names:
        stem, suffix = stem_of(name)
        is_wanted = not base_of(name).startswith(".") if wanted is None else stem in wanted
        if not is_wanted or not base_of(name):
            continue
        if not stem or suffix.lower() not in SUFFIXES:
            if stem and suffix.lower() in UNREAD:
                unread[name] = stem
            elif wanted is None:
                others.append(name)
        elif stem in found:
            raise DataError(
                f"{place}: item {stem!r} has two images, {found[stem]} and {name}: remove one, or name a folder that "
                "holds one of them"
            )
        else:
            found[stem] = name
    return Matched(
        names=tuple(found.get(item_id) for item_id in (sorted(found) if ids is None else ids)),
        unread=tuple(name for name, stem in unread.items() if wanted is None or stem not in found),
        others=tuple(others),
    )


def base_of(name: str) -> str:
    """Return the last part of a path in a zip (some have backslashes) or folder; empty for a folder."""
    return name.replace("\\", "/").rpartition("/")[2]


def stem_of(name: str) -> tuple[str, str]:
    """Return stem and suffix of a path in a zip or folder; a name without a dot is a suffix alone."""
    stem, _, suffix = base_of(name).rpartition(".")
    return stem, suffix


def by_suffix(names: Iterable[str]) -> str:
    """Count files by their suffix, for messages: `12 .tif, 3 without a suffix`."""
    suffixes = (f".{suffix.lower()}" if stem else "without a suffix" for stem, suffix in map(stem_of, names))
    counts = sorted(Counter(suffixes).items(), key=lambda count: (-count[1], count[0]))
    return ", ".join(f"{number:,} {suffix}" for suffix, number in counts)


def other_suffixes() -> str:
    """Return the suffixes besides the first, for messages."""
    return ", ".join(f".{suffix}" for suffix in SUFFIXES[1:])
