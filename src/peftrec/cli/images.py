"""`peftrec images pack SOURCE TARGET`: copy all images of a folder, zip or LMDB into one stored zip or LMDB."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from peftrec.errors import UserError
from peftrec.progress.terminal import counting

HELP = """usage: peftrec images pack SOURCE TARGET [size=PIXELS] [quality=90] [corrupt=skip] [overwrite=true]

Copies every image of SOURCE (a folder, a zip, an LMDB of this program, or the LMDB that IISAN's build_lmdb.py writes)
into TARGET, whose suffix says what it becomes: .zip (stored, without compression) or .lmdb. Each image is decoded on
the way to see that it is whole; TARGET appears when it is complete.

  size=PIXELS     short side in pixels, as JPEG; smaller images stay as they are. Without it, files are copied byte for
                  byte, and the raw pixels of IISAN's LMDB become PNG.
  quality=90      of the JPEGs that size= makes, 1 to 95
  corrupt=skip    leave out images that cannot be decoded, and name them; without it, they are an error
  overwrite=true  replace TARGET

Then train with data.images=TARGET (below data.root)."""

SUFFIXES = (".zip", ".lmdb")
ALLOWED: dict[str, Sequence[int] | tuple[str, ...]] = {
    "size": range(16, 4097),
    "quality": range(1, 96),
    "corrupt": ("error", "skip"),
    "overwrite": ("false", "true"),
}


def main(arguments: list[str]) -> int:
    """Pack, and print what was written and left out."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    source, target, options = parse(arguments)
    from peftrec.data.images.opening import open_images
    from peftrec.data.images.packing import Conversion, pack_images

    images = open_images(source, None, key="SOURCE")
    conversion = Conversion(**{name: int(options[name]) for name in ("size", "quality") if name in options})
    with counting("images packed", len(images)) as advance:
        packed = pack_images(
            images,
            target,
            conversion,
            skip_corrupt=options.get("corrupt") == "skip",
            advance=advance,
        )
    print(f"{target}: {packed.images:,} images, {packed.bytes:,} bytes")
    if packed.corrupt:
        print(f"{len(packed.corrupt):,} left out as corrupt:", *packed.corrupt, sep="\n  ")
    return 0


def parse(arguments: Sequence[str]) -> tuple[Path, Path, dict[str, str]]:
    """Return source, target and options. Raises UserError."""
    if not arguments or arguments[0] != "pack":
        raise UserError(f"expected pack SOURCE TARGET, got {' '.join(arguments) or 'nothing'}")
    places = [word for word in arguments[1:] if not is_option(word)]
    if len(places) != len(("SOURCE", "TARGET")):
        raise UserError(f"expected pack SOURCE TARGET, got {len(places)} paths: {' '.join(places) or 'none'}")
    options = dict(option(word) for word in arguments[1:] if is_option(word))
    if "quality" in options and "size" not in options:
        raise UserError("quality belongs to size=PIXELS, which makes JPEGs; without it, files are copied as they are")
    source, target = map(Path, places)
    if target.suffix not in SUFFIXES:
        raise UserError(f"{target}: a target ends in {' or '.join(SUFFIXES)}")
    if target.is_dir():
        raise UserError(f"{target}: is a folder; choose another target")
    if target.exists() and options.get("overwrite") != "true":
        raise UserError(f"{target}: exists; choose another target, or set overwrite=true")
    return source, target, options


def is_option(word: str) -> bool:
    """Say whether a word is NAME=VALUE and no path."""
    return word.partition("=")[0].isidentifier() and "=" in word


def option(word: str) -> tuple[str, str]:
    """Return name and value of an option. Raises UserError that says what is allowed."""
    name, _, value = word.partition("=")
    if name not in ALLOWED:
        nearest = get_close_matches(name, ALLOWED, n=1)
        suggestion = f"did you mean {nearest[0]}?" if nearest else f"choose one of {', '.join(ALLOWED)}"
        raise UserError(f"unknown option {name}; {suggestion}")
    allowed = ALLOWED[name]
    if value not in map(str, allowed):
        numbers = isinstance(allowed, range)
        expected = f"a whole number from {allowed[0]} to {allowed[-1]}" if numbers else " or ".join(map(str, allowed))
        raise UserError(f"{word}: expected {expected}")
    return name, value
