"""Published figures beside measured ones: shares of the baseline, and nothing where a figure is missing."""

from pathlib import Path

import pytest

from peftrec.cli.report import main
from peftrec.errors import UserError
from peftrec.results.comparison import compare
from peftrec.results.published import Published, beside, read_published
from peftrec.results.report.report import Report
from peftrec.results.runs import Run

FIGURES = Published(
    source="a paper",
    setting="a machine",
    baseline="adapter",
    seconds_per_epoch={"adapter": (400, 500), "iisan": (100, 100)},
    gigabytes={"adapter": (40, 40), "iisan": (2, 4)},
)


def test_shares_are_of_the_baseline_and_ranges_stay_ranges(runs: list[Run]) -> None:
    comparison = compare(runs)
    table = beside(comparison, FIGURES).set_index("strategy")
    iisan = table.loc["iisan"]
    assert iisan["seconds published"] == "100"
    assert iisan["seconds published, share of adapter"] == "0.200 to 0.250"
    assert iisan["GB published, share of adapter"] == "0.050 to 0.100"
    costs = {row.strategy: row.cost for row in comparison.strategies}
    ours, whole = costs["iisan"], costs["adapter"]
    assert ours is not None
    assert whole is not None
    share = ours.seconds_per_epoch / whole.seconds_per_epoch  # type: ignore[operator]
    assert iisan["seconds here, share of adapter"] == f"{share:.3f}"
    assert table.loc["adapter", "GB here, share of adapter"] == "1.000"


def test_a_strategy_that_the_paper_lacks_has_empty_cells(runs: list[Run]) -> None:
    row = beside(compare(runs), FIGURES).set_index("strategy").loc["bitfit"]
    assert row["seconds here"]
    assert row["seconds published"] == row["GB published, share of adapter"] == ""


def test_without_the_baseline_there_are_no_shares_of_ours(runs: list[Run]) -> None:
    others = [run for run in runs if run.record.strategy != "adapter"]
    row = beside(compare(others), FIGURES).set_index("strategy").loc["iisan"]
    assert row["seconds here, share of adapter"] == ""
    assert row["seconds published, share of adapter"] == "0.200 to 0.250"


def test_the_figures_of_the_abstract() -> None:
    published = read_published("iisan")
    assert published.seconds_per_epoch["full"] == (443, 443)
    assert published.gigabytes["iisan_cached"] == (3, 3)
    assert set(published.seconds_per_epoch) == set(published.gigabytes)


def test_an_unknown_paper_lists_those_there_are() -> None:
    with pytest.raises(UserError, match="there are figures of iisan"):
        read_published("issan")


def test_the_report_says_where_the_figures_are_from(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment / "adapter-example1"
    assert main([str(run), "--published", "iisan"]) == 0
    assert "arXiv:2404.02059" in capsys.readouterr().out
    text = (run / "report" / "published.md").read_text()
    assert "arXiv:2404.02059" in text
    assert "350 to 380" in text
    assert "350 to 380" not in (run / "report" / "table.md").read_text()
    assert main([str(run)]) == 0
    assert not (run / "report" / "published.md").exists()


def test_a_report_without_a_paper_holds_none(written: Report) -> None:
    assert written.beside_published == ""
    assert "published.md" not in written.contents
