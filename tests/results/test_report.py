"""`peftrec report`: its files, the page, and that records alone decide them."""

import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from peftrec.cli import main as cli
from peftrec.cli.report import main
from peftrec.errors import RecordError
from peftrec.results.example import write_example_records
from peftrec.results.report import Report, build_report, write_report

FILES = {
    *("table.csv", "table.md", "table.tex", "segments.csv", "segments.md", "significance.csv", "index.html"),
    *("quality_vs_tpme.png", "quality_vs_tpme.svg", "quality_vs_costs.png", "quality_vs_costs.svg"),
}
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the example, which tests read and leave as it is."""
    return write_report(write_example_records(tmp_path_factory.mktemp("written"), seeds=2, num_users=60))


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


def test_the_verb_writes_every_file_and_prints_the_table(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(experiment)]) == 0
    assert {file.name for file in (experiment / "report").iterdir()} == FILES
    printed = capsys.readouterr().out
    assert "seconds_per_epoch" in printed
    assert str(experiment / "report") in printed


def test_a_folder_that_cannot_be_written_costs_the_files_and_not_the_table(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (experiment / "report").write_text("in the way")
    assert cli.main(["report", str(experiment)]) == cli.MISTAKE
    printed = capsys.readouterr()
    assert "seconds_per_epoch" in printed.out
    assert "report:" not in printed.out
    assert printed.err.startswith(f"error: {experiment / 'report'}: cannot be written (")
    assert printed.err.count("\n") == 1


def test_the_same_records_give_the_same_bytes(written: Report) -> None:
    assert dict(build_report(written.directory.parent).contents) == dict(written.contents)
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
    text = (write_report(experiment).directory / "index.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_records_without_ranks_give_a_report_that_says_so(experiment: Path) -> None:
    (experiment / "lora-example1" / "ranks.parquet").unlink()
    report = write_report(experiment)
    assert "No per-user tests" in report.to_terminal()
    assert (report.directory / "significance.csv").read_text().startswith("metric,strategy_a")
    assert "No per-user tests" in (report.directory / "index.html").read_text()


def test_ranks_of_another_run_are_refused(experiment: Path) -> None:
    ranks = (experiment / "id-example1" / "ranks.parquet").read_bytes()
    (experiment / "adapter-example1" / "ranks.parquet").write_bytes(ranks)
    with pytest.raises(RecordError, match=r"adapter-example1.*not of the same run"):
        write_report(experiment)


def test_one_run_is_enough(experiment: Path) -> None:
    report = write_report(experiment / "lora-example1")
    assert {file.name for file in report.files} == FILES


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="train first"):
        write_report(tmp_path)


def test_the_verb_does_not_import_torch() -> None:
    code = "import sys, peftrec.results.report; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("has_records", [True, False])
def test_the_notebook_runs(
    experiment: Path, tmp_path: Path, has_records: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFTREC_RUNS", str(experiment if has_records else tmp_path / "nothing"))
    notebook = nbformat.read(REPOSITORY / "notebooks" / "compare_strategies.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)  # a cell that fails raises


def test_the_notebook_is_stripped() -> None:
    text = (REPOSITORY / "notebooks" / "compare_strategies.ipynb").read_text()
    assert '"output_type"' not in text
    assert '"execution_count": null' in text
