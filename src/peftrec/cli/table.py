"""`peftrec table`: build a table of a paper by the verbs that `conf/tables.yaml` names, or list all tables."""

import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.cli.arguments import RUN_SETTINGS, Grammar, read_arguments
from peftrec.errors import SettingsError

if TYPE_CHECKING:
    from peftrec.paper_tables.declared import Table

HELP = """usage: peftrec table [NAME] [scale=tiny|real|paper] [root=DIR] [--dry-run] [KEY=VALUE ...]

Without NAME lists the tables: what each would run, what of it is done, and how long it took. With NAME runs its steps
one after the other; what is finished is not run again. `make table-NAME SCALE=... DATA=DIR SET="..."` is the same.

  scale=tiny    built-in data and small towers, minutes on 2 CPU cores; the default
  scale=real    your data in DIR
  scale=paper   the setting of a paper, where one has such a table; data in DIR
  --dry-run     print the steps and run none
  KEY=VALUE     added to every step that trains: towers=tiny trainer.max_epochs=2

examples:
  peftrec table
  peftrec table main --dry-run
  peftrec table modality scale=real root=DIR towers=tiny --dry-run
"""
GRAMMAR = Grammar(
    verb="table",
    help=HELP,
    flags=frozenset({"--dry-run"}),
    keys=("scale", "root", "runs_dir"),
    values={"scale": ("tiny", "real", "paper")},
    leaves_others=True,
    composes=RUN_SETTINGS,
    takes_names=True,
)


def main(arguments: list[str]) -> int:
    """List the tables, or build one; 1 where a step failed."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    scale, runs_dir = given.own.get("scale", "tiny"), Path(given.own.get("runs_dir", "runs"))
    names = [word for word in given.others if "=" not in word]
    if not names:
        return show_all(scale, runs_dir)
    from peftrec.paper_tables.declared import find_table

    if len(names) > 1:
        raise SettingsError(f"{' '.join(names)}: one table at a time")
    table, root = find_table(names[0], scale), given.own.get("root")
    if table.needs_root and root is None:
        raise SettingsError(f"table {table.name}, scale={scale}: say where the data lie: root=DIR")
    own = [word for word in given.others if "=" in word]
    if "runs_dir" in given.own:
        own.append(f"runs_dir={runs_dir}")
    steps = table.filled({"runs": str(runs_dir)} | ({} if root is None else {"root": root}), own)
    if "--dry-run" in given.flags:
        print("".join(f"peftrec {shlex.join(step)}\n" for step in steps), end="")
        return 0
    return build(table, steps, runs_dir)


def show_all(scale: str, runs_dir: Path) -> int:
    """Print every table at a scale."""
    from peftrec.paper_tables.declared import read_tables
    from peftrec.paper_tables.state import state_of

    for table in read_tables(scale).values():
        print(f"table-{table.name}: {table.title}")
        if table.why_not is not None:
            print(f"    not at SCALE={scale}: {table.why_not}")
            continue
        print("".join(f"    peftrec {' '.join(step)}\n" for step in table.filled({"root": "DIR"})), end="")
        print(f"    {state_of(table, runs_dir).to_text()}")
    return 0


def build(table: "Table", steps: list[list[str]], runs_dir: Path) -> int:
    """Run the steps. A job that fails is a result: the steps behind it follow, and the answer is 1."""
    from peftrec.cli.main import run
    from peftrec.paper_tables.runs import run_folder
    from peftrec.paper_tables.state import Took, results_below, write_took

    folders = [runs_dir / table.runs_name, runs_dir / f"{table.runs_name}_batches", runs_dir / "classify"]
    before, began, status = results_below(folders), time.time(), 0
    for step in steps:
        words = [run_folder(word, runs_dir / table.runs_name) for word in step]
        print(f"table-{table.name}: peftrec {shlex.join(words)}", file=sys.stderr, flush=True)
        status = max(status, run(words[0], words[1:]))
    if results_below(folders) != before:
        took = Took(
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.time() - began, 1),
            status=status,
            steps=steps,
        )
        write_took(took, table, runs_dir)
    return status
