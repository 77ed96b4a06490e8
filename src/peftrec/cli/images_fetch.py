"""`peftrec images fetch TABLE TARGET`: fetch the pictures of a table of ids and addresses into a folder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peftrec.cli.arguments import SWITCH, Grammar, read_arguments
from peftrec.errors import DataError, UserError, did_you_mean
from peftrec.progress.terminal import counting

HELP = """usage: peftrec images fetch TABLE TARGET [id=item] [address=address] [KEY=VALUE ...]

Fetches the picture of each row of TABLE into the folder TARGET as <id>.jpg (or .png, .webp). TABLE is .csv, .tsv,
.parquet, or one JSON object a line (.jsonl, .json), each but Parquet .gz too. Each picture is decoded before it counts.
TARGET/fetched.csv lists what is there, with sha256; TARGET/failures.csv what failed: item, address, reason, tries. The
same command again fetches what is missing.

  id=item          column of the ids, and
  address=address  of the addresses (http or https); in lines of JSON a path: address=images.0.large
  header=false     TABLE has no header line: the first column holds ids, the second addresses
  workers=8        downloads at once, and
  per_host=4       of these from one server, whose requests begin
  pause=0.1        seconds after each other at least
  tries=3          where the server does not answer, or says that it may do so later
  seconds=60       that one download may take
  max_bytes=16777216  larger pictures are failures
  verify=true      compare the checksums of all pictures that are there, not their sizes alone

Servers that forbid use for machine learning (X-Robots-Tag: noai, noimageai) are obeyed. Then train with
data.images=TARGET (below data.root), or make one file of it: peftrec images pack TARGET TARGET.zip.

examples, of a table items.csv with columns item and image:
  peftrec images fetch items.csv posters address=image
  peftrec images pack posters posters.zip"""

KEYS: Mapping[str, Callable[[str], object]] = {
    "id": str,
    "address": str,
    "header": str,
    "workers": int,
    "per_host": int,
    "pause": float,
    "tries": int,
    "seconds": float,
    "max_bytes": int,
    "verify": str,
}
BOUNDS: Mapping[str, tuple[float, float]] = {
    "workers": (1, 64),
    "per_host": (1, 64),
    "pause": (0, 60),
    "tries": (1, 10),
    "seconds": (1, 3600),
    "max_bytes": (1024, 2**30),
}
GRAMMAR = Grammar(
    verb="images fetch",
    help=HELP,
    keys=tuple(KEYS),
    values=dict.fromkeys(("verify", "header"), SWITCH),
    leaves_others=True,
    needs_words=True,
)
MANY = 10
"""Items that share one picture from which on a run says so."""
FAILED = 1


def main(arguments: list[str]) -> int:
    """Fetch, and print what is there and what failed; 1 where something did."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    options = given.own
    numbers = {name: number_of(name, options[name]) for name in BOUNDS if name in options}
    switches = {name: given.switch(name) for name in ("verify", "header") if name in options}
    table, target = places(given.others)
    from peftrec.data.images.download import Downloader, Limits
    from peftrec.data.images.fetching import Effort, Fetching
    from peftrec.data.images.ledger import FAILURES, Ledger
    from peftrec.data.images.politeness import Politeness

    addresses = read_addresses(table, options, has_header=switches.get("header", True))
    try:
        with (
            Ledger.opened(target, verify=switches.get("verify", False)) as ledger,
            counting("pictures", len(addresses)) as advance,
        ):
            fetching = Fetching(
                ledger=ledger,
                downloader=Downloader(Limits(**chosen(numbers, "seconds", "max_bytes"))),
                politeness=Politeness(**chosen(numbers, "per_host", "pause")),
                effort=Effort(**chosen(numbers, "workers", "tries")),
                advance=advance,
            )
            fetched = fetching.run(addresses)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error}); what was fetched stays") from error
    print(f"{target}: {fetched.present + fetched.new:,} of {len(addresses):,} pictures, {fetched.new:,} of them new")
    if fetched.most_shared >= MANY:
        print(f"{fetched.most_shared:,} items have one and the same picture: a server may send it for what it has not")
    if fetched.failures:
        print(f"{len(fetched.failures):,} failed, see {target / FAILURES}; the same command tries them again")
    return FAILED if fetched.failures else 0


def chosen(numbers: Mapping[str, float], *names: str) -> dict[str, Any]:
    """Return those of the numbers that are given."""
    return {name: numbers[name] for name in names if name in numbers}


def number_of(name: str, text: str) -> float:
    """Return the value of a key. Raises UserError that says which are allowed."""
    least, most = BOUNDS[name]
    try:
        value = KEYS[name](text)
    except ValueError:
        value = None
    if not isinstance(value, int | float) or not least <= value <= most:
        kind = "a whole number" if KEYS[name] is int else "a number"
        raise UserError(f"{name}={text}: expected {kind} from {least:g} to {most:g}")
    return value


def places(words: Sequence[str]) -> tuple[Path, Path]:
    """Return table and target. Raises UserError where they are not two."""
    for word in words:
        name, equals, _ = word.partition("=")
        if equals and name.isidentifier():
            raise UserError(f"unknown option {name}; {did_you_mean(name, KEYS)}")
    if len(words) != len(("TABLE", "TARGET")):
        raise UserError(f"expected fetch TABLE TARGET, got {len(words)} paths: {' '.join(words) or 'none'}")
    table, target = map(Path, words)
    if not table.is_file():
        raise UserError(f"{table}: no such file")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is no folder; pictures are fetched into one, and `peftrec images pack` packs it")
    return table, target


def read_addresses(table: Path, options: Mapping[str, str], *, has_header: bool) -> dict[str, str]:
    """Return the address of each id, the first where it has several. Raises DataError that names the line."""
    from peftrec.data.readers.delimited import DelimitedFile
    from peftrec.data.readers.formats import COMPRESSIONS, DIALECTS, read_table
    from peftrec.data.readers.object_lines import parse_literal, read_objects
    from peftrec.data.tables.columns import Wanted

    wanted = [Wanted(key, options.get(key, default)) for key, default in (("id", "item"), ("address", "address"))]
    suffixes = [suffix for suffix in table.suffixes if suffix not in COMPRESSIONS]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".json", ".jsonl"):
        columns = read_objects(table, wanted, parse_literal)
    elif has_header:
        columns = read_table(table, wanted)
    elif suffix in DIALECTS:
        names = tuple(column.name for column in wanted)
        columns = DelimitedFile.open(table, DIALECTS[suffix], names).read(wanted)
    else:
        raise UserError(f"{table}: header=false is for {' and '.join(DIALECTS)}")
    ids, addresses = columns.ids(wanted[0].name).rows(), columns.texts(wanted[1].name)
    found: dict[str, str] = {}
    for item, address in zip(ids, addresses, strict=True):
        if not found.get(item):
            found[item] = address
    return found
