"""The report's page as a reader has it: clicked through in Chromium, in the dark, on a phone, on paper."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from browser import drive, printed
from made_up_records import STRATEGIES, made_up_ranks, made_up_record, write_run
from pdf_text import text_of_pages
from peftrec.results.comparison import Comparison, costs_of
from peftrec.results.record import read_record
from peftrec.results.report.commands import command_of
from peftrec.results.report.report import Report, write_report
from peftrec.results.tpme import Cost, TpmeWeights, tpme

pytestmark = pytest.mark.integration

DRIVER = Path(__file__).with_name("drive_page.js").read_text()
NUM_USERS = 60
MARKUP = "<img src=x onerror=alert(1)>"
STORE_SECONDS = 7.5
DARK, LIGHT = "rgb(22, 24, 28)", "rgb(255, 255, 255)"
PHONE = 390
HEADS = "strategyseedshr@10ndcg@10secondsanepochtrainableparameterspeakmemoryTPME"
"""Of the main table, in a PDF, which has no spaces."""


@pytest.fixture(scope="module")
def report(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The example with a strategy out of memory, a failed seed, a store to be built, and what a tuning leaves."""
    folder = shutil.copytree(example, tmp_path_factory.mktemp("page") / example.name)
    lora, iisan = (next(one for one in STRATEGIES if one.strategy == name) for name in ("lora", "iisan"))
    ranks = made_up_ranks(lora.skill, 3, NUM_USERS)
    made = made_up_record(lora, 3, ranks)
    without = {"evaluation": None, "efficiency": None, "epochs": [], "chosen_epoch": None}
    failed = made.model_copy(update={"run_id": "lora-failed", "status": "failed", "error": MARKUP, **without})
    config = {**made.config, "strategy": {"_target_": "made_up.huge"}, "strategy_name": "huge"}
    huge = {"run_id": "huge-1", "strategy": "huge", "status": "out_of_memory", "config": config, "question_hash": "h"}
    write_run(folder / "lora-failed", failed, ranks)
    write_run(folder / "huge-1", made.model_copy(update={**huge, **without}), ranks)
    for seed in (1, 2):
        record = read_record(folder / f"{iisan.strategy}-example{seed}")
        assert record.efficiency is not None
        amortised = (record.efficiency.seconds_per_epoch or 0) + STORE_SECONDS
        efficiency = record.efficiency.model_copy(update={"amortised_seconds_per_epoch": amortised})
        own = record.model_copy(update={"efficiency": efficiency, "config": {**record.config, "batch_size": 32}})
        write_run(folder / record.run_id, own, made_up_ranks(iisan.skill, seed, NUM_USERS))
    write_budget(folder / "tuning" / "budget.csv")
    return write_report(folder)


def write_budget(file: Path) -> None:
    file.parent.mkdir()
    rows = [
        {"strategy": name, "trials": n, "training_seconds": 10.0 * n, "expected_validation": 0.01 * n}
        | {"ci95_low": 0.005 * n, "ci95_high": 0.02 * n, "unbiased": 0.01 * n, "independent_trials": 3}
        for name in ("lora", "id", "item_knn")
        for n in (1, 2, 3)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)


@pytest.fixture(scope="module")
def page(report: Report) -> Path:
    return report.directory / "index.html"


@pytest.fixture(scope="module")
def said(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a reader sees who clicks through the page."""
    return drive(page, DRIVER, tmp_path_factory.mktemp("light") / "copy")


@pytest.fixture(scope="module")
def said_on_a_phone_at_night(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("dark") / "copy"
    return drive(page, DRIVER, place, "--force-dark-mode", width=PHONE)


@pytest.fixture
def comparison(report: Report) -> Comparison:
    return report.comparison


def quality(comparison: Comparison, name: str) -> float:
    return next(row.quality["hr@10"].mean for row in comparison.rows if row.strategy == name)


def test_rows_are_sorted_by_any_column_and_baselines_stay_apart(said: Any, comparison: Comparison) -> None:
    names = [row.strategy for row in comparison.strategies]
    seconds = {row.strategy: row.cost.seconds_per_epoch for row in comparison.strategies if row.cost}
    up, down, best, by_name, backwards = said["sorted"]
    assert up["rows"] == [*sorted(names, key=lambda name: seconds[name] or 0), "huge"]
    assert down["rows"] == [*sorted(names, key=lambda name: -(seconds[name] or 0)), "huge"], "no figure is never best"
    assert best["rows"][:-1] == sorted(names, key=lambda name: (-quality(comparison, name), name))
    assert by_name["rows"] == [*sorted(names), "huge"]
    assert backwards["rows"] == [*sorted(names, reverse=True), "huge"]
    expected = [["seconds an epoch", "ascending"], ["seconds an epoch", "descending"], ["hr@10", "descending"]]
    assert [one["sorts"] for one in said["sorted"][:3]] == [[each] for each in expected]
    assert {tuple(sorted(one["baselines"])) for one in said["sorted"]} == {("popularity", "random")}


def test_a_filter_narrows_rows_and_charts_and_says_how_many_are_left(said: Any) -> None:
    assert said["first"]["found"] == "8 of 8 rows"
    assert said["filtered"]["rows"] == said["filtered"]["dots"] == ["adapter"]
    assert said["filtered"]["found"] == "1 of 8 rows"
    assert set(said["filtered"]["baselines"]) == {"popularity", "random"}
    assert said["nothing"]["rows"] == []
    assert said["nothing"]["found"] == "0 of 8 rows"
    assert said["nothing"]["plot"] == "No row that is shown has these figures."


def test_columns_are_chosen(said: Any) -> None:
    usual = ["strategy", "seeds", "hr@10", "ndcg@10", "seconds an epoch", "trainable parameters", "peak memory", "TPME"]
    assert said["first"]["heads"] == usual
    assert said["columns"] == [*usual[:4], "validation hr@10", *usual[4:6], "TPME"]


def test_a_row_opens_to_its_runs_and_says_what_failed(said: Any) -> None:
    assert said["cells"]["huge"][2] == "out of memory"
    place = said["opened"]["rows"].index("lora")
    assert said["opened"]["rows"][place : place + 4] == ["lora", "seed 1", "seed 2", "seed 3"]
    assert said["opened"]["expanded"] == "true"
    assert "seed 1" not in said["closed"]


def test_a_run_has_a_drawer_with_all_that_it_was_told_and_its_command(said: Any, report: Report) -> None:
    drawer = said["drawer"]
    record = read_record(report.directory.parent / "lora-example1")
    assert drawer["isOpen"]
    assert drawer["title"] == "lora-example1"
    assert drawer["command"] == drawer["marked"] == command_of(record).text
    assert {"success", "3 of 6", "made-up (nothing was measured)", "2026-01-01T00:00:00+00:00"} <= set(drawer["facts"])
    assert "batch_size64" in drawer["settings"]
    assert "trainer.precision32-true" in drawer["settings"]
    assert drawer["isClosed"]


def test_text_from_a_record_is_text(said: Any) -> None:
    assert said["lastRun"]["title"] == "lora-failed"
    assert MARKUP in said["lastRun"]["facts"]
    assert said["look"]["images"] == 0


def test_weights_rank_as_tpme_does_and_sum_to_one(said: Any, comparison: Comparison) -> None:
    costs = costs_of(comparison.strategies)
    for one in [*said["tpme"], said["reset"]]:
        assert_ranked(one, costs)
    given = [(0, 0.8), (2, 1.0), (1, 0.3), (0, 0.0), (2, 0.33)]
    assert [one["weights"][place] for one, (place, _) in zip(said["tpme"][1:], given, strict=True)] == [
        value for _, value in given
    ]
    assert said["reset"]["weights"] == said["tpme"][0]["weights"] == [0.45, 0.1, 0.45]
    assert {name: value for name, value, _ in said["reset"]["rows"]} == pytest.approx(comparison.tpme, abs=1e-12)


def assert_ranked(one: Any, costs: dict[str, Cost]) -> None:
    time, parameters, memory = one["weights"]
    assert time + parameters + memory == pytest.approx(1, abs=1e-12)
    values = tpme(costs, TpmeWeights(time=time, parameters=parameters, memory=memory))
    assert {name: value for name, value, _ in one["rows"]} == pytest.approx(values, abs=1e-12)
    assert [value for _, value, _ in one["rows"]] == sorted(value for _, value, _ in one["rows"])
    assert [rank for _, _, rank in one["rows"]] == list(range(1, 1 + len(values)))


def test_a_slider_that_goes_there_and_back_keeps_the_others_proportion(said: Any) -> None:
    """Before, they were 0.67 to 0.33 with time 0: at time 1 both are 0, and the proportion would be lost."""
    before = said["tpme"][-1]["weights"]
    assert before == [0.0, 0.67, 0.33]
    assert said["there"] == [0.2, 0.54, 0.26]


def test_building_the_store_may_be_counted(said: Any, comparison: Comparison) -> None:
    costs = costs_of(comparison.strategies)
    counted = {
        row.strategy: cost.__class__(
            **{**vars(cost), "seconds_per_epoch": row.details["amortised_seconds_per_epoch"] or cost.seconds_per_epoch}
        )
        for row in comparison.strategies
        for cost in [costs[row.strategy]]
    }
    assert counted["iisan"].seconds_per_epoch == pytest.approx((costs["iisan"].seconds_per_epoch or 0) + STORE_SECONDS)
    assert_ranked(said["withStore"], counted)


def test_the_plot_has_points_intervals_front_and_baselines(said: Any, comparison: Comparison) -> None:
    plot, names = said["plot"], {row.strategy for row in comparison.strategies}
    assert set(plot["dots"]) == names
    assert "seconds an epoch (logarithmic)" in plot["text"]
    assert plot["levels"] == 2
    assert plot["bars"] == 2 * len(names), "of quality and of seconds"
    assert plot["front"] > 1
    assert plot["said"].startswith(f"{plot['dots'][0]}: TPME with the weights below ")
    assert set(said["switchedOff"]["dots"]) == names - {plot["dots"][0]}
    assert set(said["switchedOff"]["pressed"]) == {"false"}
    assert len(said["switchedOff"]["pressed"]) >= 3, "in every list of strategies"


def test_curves_segments_and_budget_are_drawn(said: Any, comparison: Comparison) -> None:
    assert said["curves"]["means"] == len(comparison.strategies)
    assert said["curves"]["runs"] == 2 * len(comparison.strategies), "the failed run trained no epoch"
    assert "training loss" in said["curves"]["text"]
    assert said["segments"] == ["hr@10 for cold and warm targets", "hr@10 for length of the history"]
    assert said["budget"]["lines"] == 3
    assert "random trials" in said["budget"]["text"]
    assert "seconds of training" in said["budget"]["after"]


def test_two_rows_are_told_apart_by_their_settings(said: Any) -> None:
    heads, *keys = said["diff"]
    assert heads == ["key", "iisan", "lora"]
    assert ["batch_size", "32", "64"] in keys
    assert ["strategy._target_", "made_up.iisan", "made_up.lora"] in keys
    assert not [key for key in keys if key[0] == "seed"]


def test_a_phone_at_night_has_a_dark_page_that_fits(said: Any, said_on_a_phone_at_night: Any) -> None:
    day, night = said["look"], said_on_a_phone_at_night["look"]
    assert (day["background"], night["background"]) == (LIGHT, DARK)
    assert night["width"] == night["wide"] == night["wideUnfolded"] == PHONE, "the page does not scroll sideways"
    assert max(night["charts"]) < PHONE
    assert said_on_a_phone_at_night["tpme"] == said["tpme"]


def test_paper_has_every_column_and_what_the_script_made(page: Path, tmp_path: Path, comparison: Comparison) -> None:
    """Of the page as it is: its policy lets its own script run."""
    text = "".join(text_of_pages(printed(page, tmp_path / "printed")))
    assert HEADS in text
    assert all(f"{comparison.tpme[row.strategy]:.4f}" in text for row in comparison.strategies)
    assert "Lowestwiththeseweights" in text, "the script ran"
    assert "Howitwasmeasured" in text
    assert "tiescountagainstthemethod" in text, "what is folded up on the screen is not on paper"


def test_each_page_of_paper_that_the_table_runs_over_has_its_head(
    page: Path, tmp_path: Path, comparison: Comparison
) -> None:
    apart = "<style>@media print { #main tbody tr { break-before: page } }</style></head>"
    copy = tmp_path / "index.html"
    copy.write_text(page.read_text().replace("</head>", apart, 1))
    num_heads = sum(HEADS in text for text in text_of_pages(printed(copy, tmp_path / "printed")))
    num_rows = len(comparison.strategies) + len(comparison.baselines) + 1  # and the one that ran out of memory
    assert num_heads >= num_rows
