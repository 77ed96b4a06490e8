"""`peftrec report RUNS_DIR`: tables, figures and a page from records alone."""

import argparse
from pathlib import Path

from peftrec.results.published import read_published
from peftrec.results.report import build_report


def main(arguments: list[str]) -> int:
    """Write the report of a folder of runs and print its table."""
    parser = argparse.ArgumentParser(prog="peftrec report", description="Write RUNS_DIR/report from the runs below it.")
    parser.add_argument("runs_dir", metavar="RUNS_DIR", type=Path, help="folder of an experiment: runs/quickstart")
    parser.add_argument("--published", metavar="PAPER", help="put a paper's figures beside the measured ones: iisan")
    parsed = parser.parse_args(arguments)
    report = build_report(parsed.runs_dir, read_published(parsed.published) if parsed.published else None)
    print(report.to_terminal(), flush=True)  # first: it is there even where files cannot be
    report.write()
    print(f"report: {report.directory}\n  {', '.join(report.contents)}")
    return 0
