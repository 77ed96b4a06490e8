"""`peftrec recommend users=FILE`: its words, and what it prints."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from peftrec.cli.arguments import Arguments
from peftrec.cli.content_weight import content_weight
from peftrec.errors import SettingsError, counted

KEYS = ("users", "to", "unknown", "overwrite")
VALUES = {"unknown": ("error", "skip"), "overwrite": ("true", "false")}


def main(given: Arguments, *, k: int) -> int:
    """Write the table and say what is in it."""
    check(given)
    from peftrec.serving.recommend_file import FileRequest, recommend_to_file

    own = given.own
    request = FileRequest(
        run=given.run,
        users=own["users"],
        to=Path(own["to"]),
        k=k,
        candidates=Path(own["candidates"]) if "candidates" in own else None,
        keeps_seen=given.switch("seen"),
        skips_unknown=own.get("unknown") == "skip",
        overwrites=given.switch("overwrite"),
        content_neighbours=content_weight(own),
        places=given.places,
    )
    written = recommend_to_file(request)
    if given.wants_json:
        print(json.dumps(asdict(written)))
        return 0
    print(f"{counted(written.num_rows, 'row')} of {counted(written.num_users, 'user')}: {request.to}")
    if written.content_neighbours is not None:
        print(written.content_neighbours.to_text())
    if written.num_skipped:
        were = "was" if written.num_skipped == 1 else "were"
        print(f"{counted(written.num_skipped, 'unknown user')} {were} skipped", file=sys.stderr)
    if written.num_repeated:
        name = "names" if written.num_repeated == 1 else "name"
        print(
            f"{counted(written.num_repeated, 'line')} {name} a user of before; each is answered once", file=sys.stderr
        )
    return 0


def check(given: Arguments) -> None:
    """Raise SettingsError for a word that is missing, or that means one user alone."""
    own = given.own
    if given.others:
        raise SettingsError(f"{given.others[0]}: many users are answered by the run's user encoder; leave it out")
    for key in ("user", "items"):
        if key in own:
            raise SettingsError(f"give one of users=FILE and {key}=")
    for key, kind in (("run", "RUN_DIR"), ("to", "FILE.parquet")):
        if key not in own:
            raise SettingsError(f"{key} is required: set {key}={kind}")
    if (unknown := own.get("unknown", "error")) not in ("error", "skip"):
        raise SettingsError(f"unknown={unknown}: expected error or skip")
