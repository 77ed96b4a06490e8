"""`peftrec report`: its files, the page, and that records alone decide them."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from peftrec.cli import main as cli
from peftrec.cli.report import main
from peftrec.errors import RecordError
from peftrec.results.comparison import compare
from peftrec.results.report.page import page
from peftrec.results.report.report import FOLDER, Report, build_report, write_report
from peftrec.results.runs import find_runs
from peftrec.results.tested import infer

pytestmark = pytest.mark.integration

FILES = {
    *("table.csv", "table.md", "table.tex", "table_two_column.tex", "segments.csv", "segments.md", "index.html"),
    *("intervals.csv", "significance.csv", "significance.md"),
    *("quality_vs_tpme.png", "quality_vs_tpme.svg", "quality_vs_costs.png", "quality_vs_costs.svg"),
}


@pytest.fixture(scope="module")
def by_the_verb(example: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the verb wrote for the example, and what it printed."""
    experiment = shutil.copytree(example, tmp_path_factory.mktemp("verb") / example.name)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([str(experiment)]) == 0
    return experiment / FOLDER, printed.getvalue()


class Links(HTMLParser):
    """Collects what a page refers to, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in {"href", "src", "xlink:href"} and value is not None:
                self.links.append(value)
            if key == "id" and value is not None:
                self.ids.append(value)


def test_the_verb_writes_every_file_and_prints_the_table(by_the_verb: tuple[Path, str]) -> None:
    directory, printed = by_the_verb
    assert {file.name for file in directory.iterdir()} == FILES
    assert "seconds_per_epoch" in printed
    assert str(directory) in printed


def test_a_folder_that_cannot_be_written_costs_the_files_and_not_the_table(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment / "lora-example1"
    (run / "report").write_text("in the way")
    assert cli.main(["report", str(run)]) == cli.MISTAKE
    printed = capsys.readouterr()
    assert "seconds_per_epoch" in printed.out
    assert "report:" not in printed.out
    assert printed.err.startswith(f"error: {run / 'report'}: cannot be written (")
    assert printed.err.count("\n") == 1


def test_the_same_records_give_the_same_bytes(written: Report, by_the_verb: tuple[Path, str]) -> None:
    """Whatever folder they lie in."""
    directory, _ = by_the_verb
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == dict(written.contents)
    assert {file.name: file.read_bytes() for file in written.files} == dict(written.contents)


def test_the_page_needs_nothing_else_and_links_every_record(written: Report) -> None:
    directory = written.directory
    page = Links()
    page.feed((directory / "index.html").read_text())
    outside = [link for link in page.links if not link.startswith("#")]
    assert len(outside) == 14
    assert all((directory / link).is_file() for link in outside)
    inside = [link.removeprefix("#") for link in page.links if link.startswith("#")]
    assert inside
    assert set(inside) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_the_page_escapes_what_records_say(experiment: Path, change: Callable[..., None]) -> None:
    change(experiment / "lora-example1", status="failed", error="<script>alert(1)</script>", evaluation=None)
    comparison = compare(find_runs(experiment))
    text = page(comparison, infer(comparison), experiment / FOLDER)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "\\u003cscript\\u003ealert" in text, "the data of the drawer"


def test_records_without_ranks_give_a_report_that_says_so(experiment: Path) -> None:
    run = experiment / "lora-example1"
    (run / "ranks.parquet").unlink()
    report = write_report(run)
    assert "No per-user tests" in report.to_terminal()
    assert (report.directory / "significance.csv").read_text().startswith("metric,strategy_a")
    assert "No per-user tests" in (report.directory / "index.html").read_text()


def test_a_run_with_ranks_of_another_is_left_out_and_named(experiment: Path) -> None:
    ranks = (experiment / "id-example1" / "ranks.parquet").read_bytes()
    (experiment / "adapter-example1" / "ranks.parquet").write_bytes(ranks)
    report = build_report(experiment)
    assert re.search(r"Not in this comparison: \S*adapter-example1.*is of another run", report.to_terminal())
    assert "adapter-example1" not in {run.name for run in report.comparison.runs}


def test_one_run_is_enough(experiment: Path) -> None:
    report = write_report(experiment / "lora-example1")
    assert {file.name for file in report.files} == FILES


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="train first"):
        write_report(tmp_path)


def test_the_verb_imports_nothing_that_is_slow_to_import() -> None:
    """Neither what trains, nor all of scipy's statistics, for whose sake it would take half as long again."""
    slow = {"torch", "lightning", "transformers", "scipy.stats"}
    code = f"import sys, peftrec.cli.report; sys.exit(', '.join({slow} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", code], check=True)
