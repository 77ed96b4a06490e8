"""`peftrec report RUNS_DIR ...`: tables, figures and a page from records alone."""

from pathlib import Path
from shlex import quote

from peftrec.cli.arguments import Arguments, Grammar, read_arguments
from peftrec.errors import SettingsError, UserError, did_you_mean

HELP = """usage: peftrec report RUNS_DIR [RUNS_DIR ...] [KEY=VALUE ...] [--published PAPER]

Writes RUNS_DIR/report from the records below it and prints the table; runs/quickstart is such a folder. Several
folders, one a data set, have a report each, and ranks across them in the folder that holds them all.

  margin=0.005                differences of hr@10 or ndcg@10 below this one do not matter: which pairs are equivalent
  wish=0.003                  how many seeds would show such a difference; the margin where it is not given
  --published PAPER           also put a paper's figures beside the measured ones: iisan
  tpme.reference=FILE         normalise TPME over the fixed set of this file, and not over the folder's strategies
  tpme.write_reference=FILE   write the folder's costs as such a file
  pscp.parameters=5e8         own constants for PSCP, the costs that halve a value; also pscp.operations=10e12 and
                              pscp.memory=94e9 (bytes), or pscp=FILE for a yaml with parameters:, operations:, memory:
  conditions=mixed            compare costs of different conditions (threads, workers, compilation, ...) all the same,
                              which the first note then says; `same`, the default, gives no TPME of them

examples:
  peftrec train -m name=first strategy=frozen_cached,iisan_cached trainer.max_epochs=2 measure=never
  peftrec report runs/first
  peftrec report runs/first margin=0.005 wish=0.003"""
REFERENCE, WRITE_REFERENCE, CONDITIONS = "tpme.reference", "tpme.write_reference", "conditions"
PSCP = ("pscp", "pscp.parameters", "pscp.operations", "pscp.memory")
GRAMMAR = Grammar(
    verb="report",
    help=HELP,
    options={"--published": "PAPER"},
    keys=("margin", "wish", REFERENCE, WRITE_REFERENCE, CONDITIONS, *PSCP),
    values={CONDITIONS: ("same", "mixed")},
    leaves_others=True,
    needs_words=True,
)


def main(arguments: list[str]) -> int:
    """Write the report of a folder of runs, or of several, and print its table."""
    given = read_arguments(GRAMMAR, arguments)
    if given is None:
        return 0
    folders = _folders(given)
    from peftrec.results.asked import Asked
    from peftrec.results.comparison import costs_of
    from peftrec.results.pscp import read_constants
    from peftrec.results.published import read_published
    from peftrec.results.report.across_report import build_across_report
    from peftrec.results.report.report import build_report
    from peftrec.results.tpme_reference import CostChoices, read_reference, write_reference

    asked = Asked.read(given.own.get("margin"), given.own.get("wish"))
    paper, reference = given.options.get("--published"), given.own.get(REFERENCE)
    choices = CostChoices(
        conditions="mixed" if given.own.get(CONDITIONS) == "mixed" else "same",
        reference=None if reference is None else read_reference(Path(reference)),
        reference_file=None if reference is None else Path(reference),
        pscp=read_constants(given.own.get("pscp"), given.own),
    )
    if len(folders) > 1:
        across = build_across_report(folders, choices, asked)
        try:
            print(across.to_terminal(), flush=True)
        finally:
            across.write()
        print(f"report: {across.directory}\n  {', '.join(across.contents)}")
        return 0
    report = build_report(folders[0], read_published(paper) if paper else None, choices, asked)
    try:
        print(report.to_terminal(), flush=True)  # first: it is there even where files cannot be
    finally:
        report.write()  # also where `| head` has read enough
    print(f"report: {report.directory}\n  {', '.join(report.contents)}")
    if (file := given.own.get(WRITE_REFERENCE)) is not None:
        write_reference(costs_of(report.comparison.strategies), Path(file))
        print(f"reference: {file}")
    return 0


def _folders(given: Arguments) -> list[Path]:
    """Return the folders that are named; a word with `=` that is none is a mistyped key."""
    folders = [Path(word) for word in given.others]
    for word, folder in zip(given.others, folders, strict=True):
        if "=" in word and not folder.exists():
            key, _, value = word.partition("=")
            if value and Path(value).is_dir():
                raise SettingsError(f"{word}: write {quote(value)}")
            hint = did_you_mean(key, GRAMMAR.keys, otherwise="see peftrec report --help")
            raise SettingsError(f"{word}: unknown to peftrec report; {hint}")
    if not folders:
        raise UserError("expected a RUNS_DIR, got none")
    for name in ("--published", WRITE_REFERENCE):
        if len(folders) > 1 and (name in given.options or name in given.own):
            raise UserError(f"{name} is of one folder; report that folder by itself")
    return folders
