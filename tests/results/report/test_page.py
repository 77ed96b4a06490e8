"""The page without a browser: its data, its static tables and pictures, and the policy that it runs under."""

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from peftrec.errors import RecordError
from peftrec.results.comparison import SHOWN, Comparison, compare
from peftrec.results.configs import flatten
from peftrec.results.report.columns import columns_of
from peftrec.results.report.curves import BUDGET_FILE, budget_table, read_budget
from peftrec.results.report.drawing import scale_of, tick_text
from peftrec.results.report.embedding import embedded
from peftrec.results.report.lines import lines_of
from peftrec.results.report.matrix import matrices
from peftrec.results.report.page import page
from peftrec.results.report.report import Report
from peftrec.results.runs import Run, find_runs
from peftrec.results.tables import readable
from peftrec.results.tested import infer

DATA = re.compile(r'<script type="application/json" id="page-data">(.*?)</script>', re.DOTALL)


def data_of(text: str) -> Any:
    found = DATA.search(text)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def text(written: Report) -> str:
    return written.contents["index.html"].decode()


@pytest.fixture(scope="module")
def data(text: str) -> Any:
    return data_of(text)


@pytest.fixture
def comparison(runs: list[Run]) -> Comparison:
    return compare(runs)


class Elements(HTMLParser):
    """Collects how often each element stands in a page, and where pictures are."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.captions: list[str] = []
        self.within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = "noscript svg" if tag == "svg" and "noscript" in self.within else tag
        self.counts[name] = self.counts.get(name, 0) + 1
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop() != tag:
            pass


def test_columns_say_what_the_table_says(comparison: Comparison) -> None:
    lines = lines_of(comparison)
    columns = {column.key: column for column in columns_of(lines, infer(comparison))}
    frame = readable(comparison)
    for key in SHOWN[1:]:
        texts = [value.text for value in columns[key].cells[: len(comparison.rows)]]
        assert texts == frame[key].tolist(), key
        assert columns[key].is_shown
    assert {column.key for column in columns.values() if column.is_shown} == set(SHOWN[1:])


def test_runs_stand_behind_their_rows_with_their_own_figures(comparison: Comparison) -> None:
    lines = lines_of(comparison)
    columns = {column.key: column for column in columns_of(lines, infer(comparison))}
    assert len(lines.every) == len(comparison.rows) + len(comparison.runs)
    for place, (run, parent) in enumerate(zip(lines.runs, lines.parents, strict=True), start=len(comparison.rows)):
        assert run in comparison.rows[parent].runs
        assert columns["hr@10"].cells[place].number == run.evaluation.test["hr@10"]
        assert columns["tpme"].cells[place].number is None, "which compares rows"
        assert columns["validation_hr@10"].cells[place].number == run.evaluation.validation["hr@10"]


def test_intervals_are_those_of_means_seconds_and_tpme(comparison: Comparison) -> None:
    tested = infer(comparison)
    columns = {column.key: column for column in columns_of(lines_of(comparison), tested)}
    means = tested.means.set_index(["metric", "strategy"])
    for place, row in enumerate(comparison.strategies):
        low, high = means.loc[("hr@10", row.strategy), ["ci_low", "ci_high"]]
        assert columns["hr@10"].cells[place].interval == (low, high)
        assert columns["hr@10"].cells[place].note == f"{low:.4f} to {high:.4f}"
        assert columns["tpme"].cells[place].interval == comparison.certain.tpme.get(row.strategy)
        assert columns["tpme_band"].cells[place].text.startswith(f"{comparison.band[row.strategy][0]:.3f} to ")


def test_settings_that_runs_share_stand_once_and_give_each_its_own(data: Any, written: Report) -> None:
    details = data["details"]
    records = {run.name: run.record for run in written.comparison.runs}
    assert len(details["runs"]) == len(records)
    for run in details["runs"]:
        own = {**details["common"], **run["own"]}
        assert {key: value for key, value in own.items() if key not in run["without"]} == flatten(
            records[run["name"]].config
        )
    assert "batch_size" in details["common"]
    assert details["seedKeys"] == ["seed"]
    assert len(details["surroundings"]) == 1


def test_costs_of_tpme_are_whole(data: Any, written: Report) -> None:
    comparison, tpme = written.comparison, data["tpme"]
    for row, costs in zip(tpme["rows"], tpme["costs"], strict=True):
        cost = comparison.rows[row].cost
        assert cost is not None
        assert costs == [cost.seconds_per_epoch, cost.trainable_parameters, cost.peak_memory_bytes]
    assert tpme["within"] is None
    assert tpme["weights"] == [0.45, 0.1, 0.45]


def test_without_tpme_the_page_has_no_weights(experiment: Path) -> None:
    comparison = compare(find_runs(experiment / "lora-example1"))
    text = page(comparison, infer(comparison), experiment)
    assert data_of(text)["tpme"] is None


def test_runs_that_stand_in_no_row_are_listed(experiment: Path, change: Callable[..., None]) -> None:
    change(experiment / "lora-example1", status="failed", error="broke", evaluation=None, comparison_hash="other")
    comparison = compare(find_runs(experiment))
    data = data_of(page(comparison, infer(comparison), experiment))
    assert data["details"]["runs"][-1]["name"] == "lora-example1"
    assert data["details"]["runs"][-1]["error"] == "broke"
    assert len(data["details"]["runs"]) == 14


def test_data_ends_no_element_and_holds_no_hidden_character(experiment: Path, change: Callable[..., None]) -> None:
    odd = "</script><!--\u2028\u202e\x1b[31m&amp;"
    change(experiment / "lora-example1", status="failed", error=odd, evaluation=None)
    comparison = compare(find_runs(experiment))
    text = page(comparison, infer(comparison), experiment)
    shown = "</script><!--\\u2028\\u202e\\u001b[31m&amp;"
    assert [run["error"] for run in data_of(text)["details"]["runs"] if run["error"]] == [shown]
    assert not re.search("[\u2028\u202e\x1b]", text)
    assert embedded("</b>\u2028&") == r'"\u003c/b\u003e\u2028\u0026"'


def test_the_page_runs_its_own_script_alone(text: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert policy
    assert f"script-src &#39;sha256-{digest}&#39;" in policy[1]
    assert policy[1].startswith("default-src &#39;none&#39;; ")


def test_the_page_says_its_size_and_is_small(text: str) -> None:
    size = len(text.encode())
    assert f"This page is {size / 1000:.0f} kB in one file" in re.sub(r"\s+", " ", text)
    assert "\0" not in text
    assert size < 150_000


def test_without_a_script_tables_and_pictures_are_there(text: str, written: Report) -> None:
    elements = Elements()
    elements.feed(text)
    assert elements.counts["noscript svg"] == 5, "four costs and the curves"
    assert "svg" not in elements.counts
    assert elements.counts["table"] >= 8
    assert elements.counts["h1"] == 1
    for row in readable(written.comparison).to_numpy().tolist():
        assert all(f">{cell}<" in text for cell in row if cell)


def test_a_verdict_is_turned_round_with_its_pair(comparison: Comparison) -> None:
    tested = infer(comparison)
    tested.pairs.loc[0, "verdict"] = "better"
    tested.pairs.loc[1, "verdict"] = "equivalent"
    grids = matrices(tested)
    assert [grid.title for grid in grids] == ["hr@10", "ndcg@10"]
    for grid in grids:
        names = grid.columns[1:]
        cells = {
            (one, other): cell
            for one, line in zip(names, grid.rows, strict=True)
            for other, cell in zip(names, line.cells[1:], strict=True)
        }
        for one, other in itertools.permutations(names, 2):
            (here, there) = (cells[each].text.split() for each in ((one, other), (other, one)))
            assert float(here[1]) == -float(there[1])
            assert (here[0], there[0]) in {("▲", "▼"), ("▼", "▲"), ("=", "="), ("·", "·")}
        assert not any(cells[name, name].text for name in names)
    for pair in tested.pairs[:2].to_dict("records"):
        line = next(line for line in grids[0].rows if line.cells[0].text == pair["strategy_a"])
        assert line.cells[grids[0].columns.index(pair["strategy_b"])].kind == pair["verdict"]


def test_a_budget_is_read_and_one_that_is_none_is_said(tmp_path: Path) -> None:
    assert read_budget(tmp_path) is None
    file = tmp_path / BUDGET_FILE
    file.parent.mkdir()
    header = "strategy,trials,training_seconds,expected_validation,ci95_low,ci95_high"
    file.write_text(f"{header}\n")
    assert read_budget(tmp_path) is None
    file.write_text(
        f"{header}\nlora,1,10,0.1,0.05,0.2\nlora,2,20,0.15,0.1,0.2\nlora,3,30,0.2,0.1,0.3\nid,1,1,0.1,0.1,\n"
    )
    frame = read_budget(tmp_path)
    assert frame is not None
    assert budget_table(frame).to_dict("records") == [
        {"strategy": "lora", "1 trial": "0.1000", "2 trials": "0.1500", "3 trials": "0.2000"},
        {"strategy": "id", "1 trial": "0.1000", "2 trials": "", "3 trials": ""},
    ]
    for content in (header.replace("trials,", "") + "\nlora,1,2,3,4\n", f"{header}\nlora,x,1,1,1,1\n", '\x00\n"', ""):
        file.write_text(content)
        with pytest.raises(RecordError, match=r"budget\.csv: .*remove it, or give the command of `peftrec tune` again"):
            read_budget(tmp_path)


@pytest.mark.parametrize("values", [[0.1, 0.13], [1.0, 5e6], [0.0, 0.0], [-2.0, 1.0], [3.0], [0.02, 0.9]])
def test_a_scale_keeps_values_and_a_few_ticks_within(values: list[float]) -> None:
    scale = scale_of(values, 10, 110, is_linear=False)
    assert all(10 < scale.at(value) < 110 for value in values)
    assert 2 <= len(scale.ticks()) <= 9
    assert all(10 <= scale.at(tick) <= 110 for tick in scale.ticks())


def test_ticks_are_short() -> None:
    values = (0.05, 0, 1234, 12_345, 5e6, 3e9, 2.5e13)
    assert [tick_text(value) for value in values] == ["0.05", "0", "1234", "12.3k", "5M", "3G", "25T"]
