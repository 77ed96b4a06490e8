"""`peftrec recommend users=FILE to=FILE.parquet`: the best items for many users, in a table that is whole or absent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from peftrec.cold_start.content_neighbours import KEY
from peftrec.cold_start.neighbours_of_run import ChosenWeight
from peftrec.data.readers.formats import read_table
from peftrec.data.tables.columns import Wanted
from peftrec.data.tables.lines import read_rows
from peftrec.errors import SHOWN, DataError, counted
from peftrec.files import written_beside
from peftrec.serving.answer_tables import as_columns
from peftrec.serving.loaded_run import LoadedRun
from peftrec.serving.many_users import recommend_in_blocks
from peftrec.serving.recommend_request import ALL, FileRequest

USER = "user"
TABLES = (".csv", ".tsv", ".parquet", ".gz", ".bz2", ".zst")
"""How files end that are read as tables with a column `user`; any other is text with an id a line."""
SCHEMA = pa.schema([(USER, pa.string()), ("rank", pa.int32()), ("item", pa.string()), ("score", pa.float32())])


@dataclass(frozen=True, kw_only=True)
class Written:
    """What came of a request."""

    num_users: int
    num_rows: int
    num_skipped: int
    """Users whom the run does not know."""
    num_repeated: int
    """Lines of users who stand in the file more than once, and are answered once."""
    content_neighbours: ChosenWeight | None
    """How much they count; None where they are off."""


def recommend_to_file(request: FileRequest) -> Written:
    """Write the best items of each user: columns `user`, `rank`, `item` and `score`, users in the file's order.

    Each user's rows are those of `peftrec recommend user=ID`, to the last bit. Raises DataError for a file of users
    that cannot be read, for unknown users, and where all are unknown that may be left out; and what restoring a run
    raises.
    """
    asked = None if request.users == ALL else read_users(Path(request.users))
    run = LoadedRun(directory=request.run, overrides=request.places)
    is_text = asked is not None and Path(request.users).suffix.lower() not in TABLES
    if asked and is_text and asked[0] == USER and run.histories.unknown([USER]):
        asked = asked[1:]  # the heading that a table has
    users = list(dict.fromkeys(run.users if asked is None else asked))
    unknown = set(run.histories.unknown(users)) if request.skips_unknown else set()
    known = [user for user in users if user not in unknown]
    if not known:
        examples = ", ".join(map(repr, run.users[:SHOWN]))
        raise DataError(
            f"users={request.users}: none of {counted(len(users), 'user')} is among the {len(run.users):,} of the run, "
            f"and nothing is written; the run's users are called {examples}"
        )
    try:
        rows = run.histories.rows_of(known)
    except DataError as error:
        is_first_alone = is_text and len(known) > 1 and run.histories.unknown(known) == known[:1]
        heading = f"; if line 1 is a heading, call it {USER}" if is_first_alone else ""
        raise DataError(
            f"users={request.users}: {error}; correct them, or leave them out by unknown=skip{heading}"
        ) from error
    new = run.read_candidates(request.candidates)
    chosen = run.chosen_weight(request.content_neighbours)
    weight = 0.0 if chosen is None else chosen.weight
    catalogue = run.with_candidates(new, weight=weight)
    histories = run.histories.interactions
    blocks = recommend_in_blocks(run.restored, catalogue, histories, rows, request.k, keeps_seen=request.keeps_seen)
    about = {"run": str(request.run), "k": str(request.k), "users_skipped": str(len(unknown)), KEY: f"{weight:g}"}
    schema = SCHEMA.with_metadata({f"peftrec.{key}": value for key, value in about.items()})
    with written_beside(request.to) as beside, parquet.ParquetWriter(beside, schema) as writer:
        for block in blocks:
            columns = as_columns(USER, block, catalogue, histories.users)
            writer.write_table(pa.table(columns).cast(schema))
    return Written(
        num_users=len(known),
        num_rows=len(known) * request.k,
        num_skipped=len(unknown),
        num_repeated=0 if asked is None else len(asked) - len(users),
        content_neighbours=chosen,
    )


def read_users(file: Path) -> Sequence[str]:
    """Return the ids of a file: its column `user`, or a text's lines. Raises DataError where there are none."""
    if not file.is_file():
        raise DataError(f"users={file}: no such file; give text with an id a line, or a table with a column {USER}")
    if file.suffix.lower() in TABLES:
        return read_table(file, [Wanted("users", USER, remedy=f"name the one of ids `{USER}`")]).ids(USER).rows()
    ids = [row[0] for row in read_rows(file, (USER,))]
    if empty := [line for line, each in enumerate(ids, start=1) if not each.strip()]:
        raise DataError(f"{file}:{empty[0]}: the line is empty; remove it")
    return ids
