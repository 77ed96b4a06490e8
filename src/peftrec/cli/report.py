"""`peftrec report RUNS_DIR`: tables, figures and a page from records alone."""

from pathlib import Path

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import UserError

HELP = """usage: peftrec report RUNS_DIR [--published PAPER]

Writes RUNS_DIR/report from the records below it and prints the table; runs/quickstart is such a folder.

  --published PAPER   also put a paper's figures beside the measured ones: iisan"""
GRAMMAR = Grammar(verb="report", help=HELP, options={"--published": "PAPER"}, leaves_others=True, needs_words=True)


def main(arguments: list[str]) -> int:
    """Write the report of a folder of runs and print its table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    if len(given.others) != 1:
        raise UserError(f"expected one RUNS_DIR, got {' '.join(given.others) or 'none'}")
    from peftrec.results.published import read_published
    from peftrec.results.report import build_report

    paper = given.options.get("--published")
    report = build_report(Path(given.others[0]), read_published(paper) if paper else None)
    print(report.to_terminal(), flush=True)  # first: it is there even where files cannot be
    report.write()
    print(f"report: {report.directory}\n  {', '.join(report.contents)}")
    return 0
