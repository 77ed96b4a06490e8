"""`peftrec recommend users=FILE`: its words, and what it prints."""

import sys
from dataclasses import asdict
from pathlib import Path

from peftrec.cli.arguments import SWITCH, Arguments
from peftrec.errors import SettingsError, counted
from peftrec.outputs.safe_text import for_json
from peftrec.serving.content_weight import content_weight
from peftrec.serving.recommend_request import FileRequest, check_target

KEYS = ("users", "to", "unknown", "overwrite")
VALUES = {"unknown": ("error", "skip"), "overwrite": SWITCH}


def main(given: Arguments, *, k: int) -> int:
    """Write the table and say what is in it."""
    check(given)
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
    check_target(request)
    from peftrec.results.record import read_finished

    read_finished(request.run)  # before what takes seconds to import
    from peftrec.serving.recommend_file import recommend_to_file

    written = recommend_to_file(request)
    if given.wants_json:
        print(for_json(asdict(written)))
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
    if "groups" in own:
        raise SettingsError(f"groups={own['groups']}: groups answer one user at a time; set user=ID, or leave it out")
    for key, kind in (("run", "RUN_DIR"), ("to", "FILE.parquet")):
        if key not in own:
            raise SettingsError(f"{key} is required: set {key}={kind}")
