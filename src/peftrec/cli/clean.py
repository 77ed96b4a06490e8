"""`peftrec clean`: what nobody needs any more in a folder of runs."""

from pathlib import Path

from peftrec.cli.arguments import Grammar, read_arguments

HELP = """usage: peftrec clean RUNS_DIR [--dry-run]

Removes, below RUNS_DIR:

  runs that a later run of the same settings and data, by other code, has superseded
  hidden-state stores that no run there reads
  partial files of processes that were killed, and their temporary folders

  --dry-run   say what would go, and remove nothing

examples:
  peftrec train name=first strategy=iisan_cached trainer.max_epochs=2
  peftrec clean runs --dry-run
  peftrec clean runs"""
DRY_RUN = "--dry-run"
GRAMMAR = Grammar(verb="clean", help=HELP, flags=frozenset({DRY_RUN}), leaves_others=True, needs_words=True)


def main(arguments: list[str]) -> int:
    """Name what can go, and remove it."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    folder = Path(given.only("RUNS_DIR", GRAMMAR))
    from peftrec.jobs.cleaning import find_waste

    is_dry = DRY_RUN in given.flags
    total = 0
    found = find_waste(folder)
    for waste in found:
        size = waste.num_bytes
        total += size
        if not is_dry:
            waste.remove()
        print(f"{waste.path}: {size / 1e6:,.1f} MB, {waste.why}")
    print(f"{len(found)} {'would go' if is_dry else 'removed'}, {total / 1e6:,.1f} MB")
    return 0
