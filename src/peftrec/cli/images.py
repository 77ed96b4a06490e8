"""`peftrec images pack SOURCE TARGET`: copy all images of a folder, zip or LMDB into one stored zip or LMDB."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from peftrec.cli.arguments import SWITCH, Grammar, read_arguments
from peftrec.errors import UserError, did_you_mean
from peftrec.progress.terminal import counting

HELP = """usage: peftrec images pack SOURCE TARGET [size=PIXELS] [quality=90] [corrupt=skip] [overwrite=true]
                            [max_image_pixels=67108864]

Copies every image of SOURCE (a folder with all below it, a zip, an LMDB of this program, or the LMDB that IISAN's
build_lmdb.py writes) into TARGET, whose suffix says what it becomes: .zip (stored, without compression) or .lmdb. Each
image is decoded on the way to see that it is whole; TARGET appears when it is complete.

  size=PIXELS     short side in pixels, as upright JPEG; smaller images stay as they are. Without it, files are
                  copied byte for byte, and the raw pixels of IISAN's LMDB become PNG.
  quality=90      of the JPEGs that size= makes, 1 to 95
  corrupt=skip    leave out images that cannot be decoded or are of a format that is not read (.tif, .heic, ...), and
                  name them; without it, they are an error. Files that are no pictures are left out and counted.
  overwrite=true  replace TARGET
  max_image_pixels=N  images that declare more than N pixels count as corrupt, and nothing of them is decoded

Then train with data.images=TARGET (below data.root).

`peftrec help images fetch`: from a table of ids and addresses to a folder of images.

examples, of a folder posters:
  peftrec images pack posters posters.zip
  peftrec images pack posters posters-224.zip size=224 corrupt=skip"""

SUFFIXES = (".zip", ".lmdb")
RANGES = {"size": range(16, 4097), "quality": range(1, 96), "max_image_pixels": range(1, 2**40)}
GRAMMAR = Grammar(
    verb="images",
    help=HELP,
    actions=("pack", "fetch"),
    keys=("size", "quality", "corrupt", "overwrite", "max_image_pixels"),
    values={"corrupt": ("error", "skip"), "overwrite": SWITCH},
    leaves_others=True,
    extras={"lmdb": "FILE.lmdb"},
)


def main(arguments: list[str]) -> int:
    """Pack, and print what was written and left out; or fetch."""
    if arguments[:1] == ["fetch"]:
        from peftrec.cli import images_fetch

        return images_fetch.main(arguments[1:])
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    options = checked(given.own)
    source, target = places(given.others, options)
    from peftrec.data.choices import MAX_IMAGE_PIXELS
    from peftrec.data.images.decoding import Decoding
    from peftrec.data.images.naming import by_suffix
    from peftrec.data.images.opening import open_images
    from peftrec.data.images.packing import Conversion, pack_images

    bound = int(options.get("max_image_pixels", MAX_IMAGE_PIXELS))
    images = open_images(source, None, key="SOURCE").decoded(Decoding(max_pixels=bound, key="max_image_pixels"))
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
    if images.unread:
        print(f"{len(images.unread):,} left out, of formats that are not read: {by_suffix(images.unread)}")
    if images.others:
        print(f"{len(images.others):,} left out as no pictures, by their suffix: {by_suffix(images.others)}")
    return 0


def places(words: Sequence[str], options: Mapping[str, str]) -> tuple[Path, Path]:
    """Return source and target. Raises UserError where they are not two, or the target cannot be made."""
    if not words or words[0] != "pack":
        raise UserError(f"expected pack SOURCE TARGET or fetch TABLE TARGET, got {' '.join(words) or 'nothing'}")
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        if equals and name.isidentifier():
            raise UserError(f"unknown option {name}; {did_you_mean(name, GRAMMAR.keys)}")
    if len(words) != len(("pack", "SOURCE", "TARGET")):
        raise UserError(f"expected pack SOURCE TARGET, got {len(words) - 1} paths: {' '.join(words[1:]) or 'none'}")
    source, target = map(Path, words[1:])
    if target.suffix not in SUFFIXES:
        raise UserError(f"{target}: a target ends in {' or '.join(SUFFIXES)}")
    if target.is_dir():
        raise UserError(f"{target}: is a folder; choose another target")
    if target.exists() and options.get("overwrite") != "true":
        raise UserError(f"{target}: exists; choose another target, or set overwrite=true")
    return source, target


def checked(options: Mapping[str, str]) -> Mapping[str, str]:
    """Return options whose values are allowed. Raises UserError that says which are."""
    for name, allowed in RANGES.items():
        value = options.get(name)
        if value is not None and not (value.isdecimal() and int(value) in allowed):
            raise UserError(f"{name}={value}: expected a whole number from {allowed[0]} to {allowed[-1]}")
    if "quality" in options and "size" not in options:
        raise UserError("quality belongs to size=PIXELS, which makes JPEGs; without it, files are copied as they are")
    return options
