"""`peftrec report RUNS_DIR`: tables, figures and a page from records alone."""

from pathlib import Path

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import UserError

HELP = """usage: peftrec report RUNS_DIR [--published PAPER] [tpme.reference=FILE] [conditions=mixed]

Writes RUNS_DIR/report from the records below it and prints the table; runs/quickstart is such a folder.

  --published PAPER           also put a paper's figures beside the measured ones: iisan
  tpme.reference=FILE         normalise TPME over the fixed set of this file, and not over the folder's strategies
  tpme.write_reference=FILE   write the folder's costs as such a file
  conditions=mixed            compare costs of different conditions (threads, workers, compilation, ...) all the same,
                              which the first note then says; `same`, the default, gives no TPME of them"""
REFERENCE, WRITE_REFERENCE, CONDITIONS = "tpme.reference", "tpme.write_reference", "conditions"
GRAMMAR = Grammar(
    verb="report",
    help=HELP,
    options={"--published": "PAPER"},
    keys=(REFERENCE, WRITE_REFERENCE, CONDITIONS),
    leaves_others=True,
    needs_words=True,
)


def main(arguments: list[str]) -> int:
    """Write the report of a folder of runs and print its table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    if len(given.others) != 1:
        raise UserError(f"expected one RUNS_DIR, got {' '.join(given.others) or 'none'}")
    conditions = given.own.get(CONDITIONS, "same")
    if conditions not in ("same", "mixed"):
        raise UserError(f"conditions={conditions}: expected same or mixed")
    from peftrec.results.comparison import costs_of
    from peftrec.results.published import read_published
    from peftrec.results.report import build_report
    from peftrec.results.tpme_reference import CostChoices, read_reference, write_reference

    paper, reference = given.options.get("--published"), given.own.get(REFERENCE)
    choices = CostChoices(
        conditions="mixed" if conditions == "mixed" else "same",
        reference=None if reference is None else read_reference(Path(reference)),
        reference_file=None if reference is None else Path(reference),
    )
    report = build_report(Path(given.others[0]), read_published(paper) if paper else None, choices)
    print(report.to_terminal(), flush=True)  # first: it is there even where files cannot be
    report.write()
    print(f"report: {report.directory}\n  {', '.join(report.contents)}")
    if (file := given.own.get(WRITE_REFERENCE)) is not None:
        write_reference(costs_of(report.comparison.strategies), Path(file))
        print(f"reference: {file}")
    return 0
