"""PSCP against the authors' own arithmetic, its limits, its constants, and where a report shows it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from peftrec.cli.report import main
from peftrec.errors import UserError
from peftrec.results.costs import Serving, ServingTimes
from peftrec.results.pscp import PAPER_CONSTANTS, Penalised, PscpConstants, pscp, read_constants
from peftrec.results.runs import find_runs
from peftrec.results.tpme import Cost


def of(quality: float, parameters: int, teraflops: float, gigabytes: float) -> Penalised:
    cost = Cost(
        seconds_per_epoch=1.0,
        trainable_parameters=parameters,
        peak_memory_bytes=round(gigabytes * 1e9),
        device="",
        comparison_hash="",
    )
    return Penalised(quality=quality, cost=cost, extra_operations=teraflops * 1e12)


AUTHORS = {
    "ia3": of(74.7, 196_608, 8.69 - 8.38, 28.41),
    "prompt-tuning": of(50, 409_600, 10.05 - 8.38, 42.47),
    "lora": of(80.1, 14_680_064, 0, 27.75),
}
"""Three rows of the maps in the authors' `cal_psqp.py`."""


@pytest.mark.parametrize("exponents", [(1, 1, 1), (2, 2, 2), (0.5, 1, 2)])
@pytest.mark.parametrize("name", AUTHORS)
def test_it_is_the_authors_formula(name: str, exponents: tuple[float, float, float]) -> None:
    def cost(m: float, c: float, beta: float) -> float:  # as in their file
        return float((1 + m / c) ** -beta)

    given = AUTHORS[name]
    assert given.cost is not None
    assert given.cost.peak_memory_bytes is not None
    assert given.extra_operations is not None
    expected = (given.quality or 0) * (
        cost(given.cost.trainable_parameters or 0, 5e8, exponents[0])
        * cost(given.extra_operations / 1e12, 10, exponents[1])
        * cost(given.cost.peak_memory_bytes / 1e9, 94, exponents[2])
    )
    constants = PscpConstants(
        parameters_exponent=float(exponents[0]),
        operations_exponent=float(exponents[1]),
        memory_exponent=float(exponents[2]),
    )
    assert pscp(given, constants) == pytest.approx(expected, rel=1e-12)


def test_each_constant_is_the_cost_that_halves_a_value() -> None:
    assert pscp(of(0.4, 0, 0, 0)) == 0.4
    for given in (of(0.4, 500_000_000, 0, 0), of(0.4, 0, 10, 0), of(0.4, 0, 0, 94)):
        assert pscp(given) == pytest.approx(0.2)


def test_what_is_not_known_has_none() -> None:
    given = of(0.4, 1, 1, 1)
    assert given.cost is not None
    assert pscp(given) is not None
    for lacking in (
        replace(given, quality=None),
        replace(given, cost=None),
        replace(given, extra_operations=None),
        replace(given, cost=replace(given.cost, peak_memory_bytes=None)),
        replace(given, cost=replace(given.cost, trainable_parameters=None)),
    ):
        assert pscp(lacking) is None


def test_constants_are_the_authors_unless_others_are_given(tmp_path: Path) -> None:
    file = tmp_path / "constants.yaml"
    file.write_text("parameters: 1e6\nmemory: 24000000000\n")
    assert read_constants(None, {}) == PAPER_CONSTANTS
    assert read_constants(str(file), {}) == PscpConstants(parameters=1e6, memory=24e9)
    assert read_constants(str(file), {"pscp.memory": "8e9"}) == PscpConstants(parameters=1e6, memory=8e9)


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (
            None,
            {"pscp.memory": "0"},
            r"memory=0: Input should be greater than 0; constants are parameters: 5e\+08",
        ),
        (None, {"pscp.parameters": "many"}, r"pscp\.parameters=many: Input should be a valid number"),
        ("params: 3\n", {}, r"constants\.yaml: params: Extra inputs are not permitted"),
        ("- 3\n", {}, r"constants\.yaml: expected keys and values"),
        ("a: [\n", {}, r"constants\.yaml: cannot be read as YAML"),
    ],
)
def test_wrong_constants_are_named(content: str | None, given: dict[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "constants.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_constants(None if content is None else str(file), given)


def serving(extra: int | None, merged: int | None = None) -> Serving:
    times = ServingTimes(
        item_seconds=0.001, new_item_seconds=0.002, catalogue_seconds=1.0, encoded_items=9, extra_operations=extra
    )
    return Serving(
        kept_bytes=2**20,
        num_items=9,
        as_trained=times,
        merged=None
        if merged is None
        else times.model_copy(update={"extra_operations": merged, "new_item_seconds": 0.0015}),
        answer_seconds_p50=0.003,
        answer_seconds_p99=0.004,
        num_answers=9,
    )


def test_a_report_shows_serving_and_pscp_where_they_were_measured(
    experiment: Path, change: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {run.name: run for run in find_runs(experiment) if run.is_success}
    strategies = sorted({run.record.strategy for run in runs.values()})
    whole, other, without = strategies[:3]
    for run in runs.values():
        if run.record.strategy in (whole, other):
            change(run.folder, serving=serving(10**13, 0) if run.record.strategy == whole else serving(10**13))
    assert main([str(experiment), "pscp.parameters=1e30", "pscp.memory=1e30"]) == 0
    assert "which are not the authors' constants" in capsys.readouterr().out
    table = pd.read_csv(experiment / "report" / "table.csv").set_index("strategy")
    assert table.loc[whole, "pscp"] == pytest.approx(table.loc[whole, "hr@10"])
    assert table.loc[other, "pscp"] == pytest.approx(table.loc[other, "hr@10"] / 2)
    assert pd.isna(table.loc[without, "pscp"])
    assert table.loc[whole, "merged_new_item_seconds"] == 0.0015
    assert pd.isna(table.loc[other, "merged_new_item_seconds"])
    for name in ("table.md", "index.html"):
        text = (experiment / "report" / name).read_text()
        for column in ("pscp", "kept_bytes", "new_item_seconds", "catalogue_seconds", "answer_seconds_p99"):
            assert column in text
        assert "1.0 MiB" in text
