"""TPME by hand, its errors, and what surrounds it."""

import math
from dataclasses import replace

import pytest

from peftrec.errors import RecordError
from peftrec.results.tpme import (
    Cost,
    TpmeWeights,
    pareto_front,
    sensitivity_band,
    sensitivity_weights,
    tpme,
)


def cost(seconds: float | None, parameters: int | None, memory: int | None, **other: str) -> Cost:
    values = {"device": "one", "comparison_hash": "same", **other}
    return Cost(seconds_per_epoch=seconds, trainable_parameters=parameters, peak_memory_bytes=memory, **values)


def test_three_strategies_by_hand() -> None:
    costs = {"large": cost(10.0, 100, 50), "middle": cost(6.0, 0, 40), "small": cost(2.0, 50, 10)}
    # middle: time (6-2)/8 = 0.5, parameters 0, memory (40-10)/40 = 0.75; small: parameters 0.5, the rest 0
    expected = {"large": 1.0, "middle": 0.45 * 0.5 + 0.45 * 0.75, "small": 0.10 * 0.5}
    assert tpme(costs) == pytest.approx(expected)


def test_an_example_set_of_six() -> None:
    """An example set of round figures; its normalised values are computed from the equations, nothing is quoted."""
    costs = {
        "fft": cost(443.0, 195_000_000, 46_760),
        "adapter": cost(354.0, 5_000_000, 37_820),
        "lora": cost(378.0, 800_000, 39_070),
        "bitfit": cost(403.0, 400_000, 36_970),
        "iisan": cost(179.0, 4_000_000, 8_320),
        "iisan_cached": cost(22.0, 4_000_000, 3_110),
    }
    percent = {name: 100 * value for name, value in tpme(costs).items()}
    expected = {"fft": 100.0, "adapter": 71.51, "lora": 75.14, "bitfit": 75.63, "iisan": 22.34, "iisan_cached": 0.185}
    assert percent == pytest.approx(expected, abs=0.01)


def test_what_all_share_counts_zero() -> None:
    costs = {"one": cost(5.0, 7, 100), "other": cost(5.0, 7, 300)}
    assert tpme(costs) == {"one": 0.0, "other": 0.45}
    assert tpme({"one": cost(5.0, 7, 9), "other": cost(5.0, 7, 9)}) == {"one": 0.0, "other": 0.0}


def test_ties_get_the_same_value() -> None:
    costs = {"one": cost(5.0, 7, 100), "twin": cost(5.0, 7, 100), "other": cost(9.0, 8, 300)}
    values = tpme(costs)
    assert values["one"] == values["twin"] == 0.0
    assert values["other"] == pytest.approx(1.0)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_is_an_error(count: int) -> None:
    with pytest.raises(RecordError, match="at least two"):
        tpme(dict.fromkeys(["only"][:count], cost(1.0, 1, 1)))


@pytest.mark.parametrize("quantity", ["seconds_per_epoch", "trainable_parameters", "peak_memory_bytes"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1])
def test_missing_measurement_names_run_and_quantity(quantity: str, value: float | None) -> None:
    broken = replace(cost(1.0, 1, 1), runs=("lora-1a2b",), **{quantity: value})
    with pytest.raises(RecordError, match=rf"lora \(run lora-1a2b\): {quantity}.*train (at least two epochs|it again)"):
        tpme({"fft": cost(2.0, 2, 2), "lora": broken})


@pytest.mark.parametrize("value", [None, math.nan])
def test_all_that_miss_a_measurement_are_named_at_once(value: float | None) -> None:
    broken = replace(cost(1.0, 1, 1), runs=("x-1a2b",), seconds_per_epoch=value)
    with pytest.raises(RecordError, match=r"^lora, iisan: seconds_per_epoch.* or leave these strategies out"):
        tpme({"lora": broken, "fft": cost(2.0, 2, 2), "iisan": broken})
    with pytest.raises(RecordError, match=r"^lora, iisan: seconds_per_epoch.* to the end$"):  # nothing would be left
        tpme({"lora": broken, "iisan": broken})


@pytest.mark.parametrize("key", ["device", "comparison_hash"])
def test_mixed_sets_are_refused(key: str) -> None:
    with pytest.raises(RecordError, match=r"fft: .*lora: elsewhere"):
        tpme({"fft": cost(2.0, 2, 2), "lora": cost(1.0, 1, 1, **{key: "elsewhere"})})


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.5), (1.5, -0.25, -0.25), (0.0, 0.0, 0.0)])
def test_weights_must_be_a_mean(weights: tuple[float, float, float]) -> None:
    with pytest.raises(RecordError, match="sum to 1"):
        TpmeWeights(*weights)


def test_band_holds_the_paper_weights_and_every_grid_point() -> None:
    costs = {"large": cost(10.0, 100, 50), "middle": cost(6.0, 0, 40), "small": cost(2.0, 50, 10)}
    grid = sensitivity_weights()
    assert TpmeWeights() in [TpmeWeights(*(round(value, 2) for value in weights.as_tuple())) for weights in grid]
    band, value = sensitivity_band(costs), tpme(costs)
    assert band["large"] == pytest.approx((1.0, 1.0))
    # small is parameters / 2, and the weight of parameters runs from 0.05 to 0.60
    assert band["small"] == pytest.approx((0.025, 0.30))
    assert all(low - 1e-12 <= value[name] <= high + 1e-12 for name, (low, high) in band.items())


def test_pareto_front() -> None:
    points = {"best": (0.9, 10.0), "cheap": (0.5, 1.0), "worse": (0.5, 2.0), "worst": (0.4, 20.0), "twin": (0.5, 1.0)}
    assert pareto_front(points) == {"best", "cheap", "twin"}
