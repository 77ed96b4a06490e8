"""Search spaces: what a yaml may say, what is drawn from it, and that every one that lies in conf/search fits."""

import math
from pathlib import Path

import numpy as np
import pytest

from peftrec.code.user_code import open_door
from peftrec.config.folder import config_directory
from peftrec.errors import SettingsError
from peftrec.tuning.candidates import compose_candidates
from peftrec.tuning.default_space import default_space
from peftrec.tuning.drawing import draw, value_at
from peftrec.tuning.settings import Budget, TuneSettings
from peftrec.tuning.spaces import Choice, FloatRange, IntRange, read_space

TUNING = TuneSettings(budget=Budget(trials=4))
NO_STRATEGIES = ("config", "item_knn")
SPACES = sorted(path.stem for path in (config_directory() / "search").glob("*.yaml") if path.stem not in NO_STRATEGIES)
RATE = FloatRange(type="float", low=1e-4, high=1e-2, log=True)


@pytest.mark.integration
@pytest.mark.parametrize("strategy", SPACES)
def test_every_space_fits_its_strategy(strategy: str) -> None:
    (candidate,) = compose_candidates([f"strategy={strategy}"], TUNING)
    assert any(key.startswith("learning_rates.") for key in candidate.space.dimensions)
    assert candidate.starts[0].name == "defaults"
    for start in candidate.starts:
        assert set(candidate.values_of(start.changes)) == set(candidate.space.dimensions)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "strategy.rnk: {type: int, low: 1, high: 8}",
            "search/lora.yaml: space.strategy.rnk: unknown key strategy.rnk; did you mean strategy.rank?",
        ),
        (
            "strategy.rank: {type: int, low: 0, high: 8}",
            "space.strategy.rank: strategy.rank: expected a value greater than or equal to 1, got 0",
        ),
        (
            "strategy.rank: {type: float, low: 1.5, high: 8.5}",
            "space.strategy.rank: strategy.rank: expected an integer, got 1.5",
        ),
        (
            "strategy.rank: {type: int, low: 8, high: 8}",
            "search/lora.yaml: space.strategy.rank: low must lie below high",
        ),
        ("strategy.rank: {type: int, low: 2}", "high"),
        ("strategy.rank: {type: choice, values: [2, 4], low: 2}", "unknown key low; a dimension of this type has type"),
        ("strategy.rank: [1, 2]", "expected {type: float"),
        ("learning_rates.introduced: {type: float, low: 0.0, high: 1.0, log: true}", "needs low above 0"),
    ],
)
def test_a_space_is_checked_against_the_fields_that_it_names(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    open_door(config=[str(tmp_path)])
    try:
        (tmp_path / "search" / "lora.yaml").write_text(f"space:\n  {line}\n")
        with pytest.raises(SettingsError) as error:
            compose_candidates(["strategy=lora"], TUNING)
        assert message in str(error.value)
    finally:
        open_door()


def test_what_the_user_fixes_is_not_tuned() -> None:
    (candidate,) = compose_candidates(["strategy=lora", "strategy.rank=4", "learning_rates.introduced=1e-3"], TUNING)
    assert set(candidate.space.dimensions) == {"learning_rates.recommender", "strategy.alpha"}
    assert candidate.settings.strategy.rank == 4  # type: ignore[attr-defined]
    assert all("learning_rates.introduced" not in start.changes for start in candidate.starts)


def test_published_rates_are_tried_as_they_are_whatever_an_experiment_says() -> None:
    (candidate,) = compose_candidates(["strategy=full", "experiment=quickstart"], TUNING)
    names = {start.name: start.changes for start in candidate.starts}
    rates = candidate.changed(names["published rates"]).learning_rates
    assert (rates.text, rates.image, rates.recommender) == (5e-5, 1e-4, 1e-4)
    assert candidate.settings.learning_rates.text == 3e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data=synthetic"], "strategy is required"),
        (["strategy=lora,lora"], "lora is named twice"),
        (["strategy=lora", "seed=3"], "trial_seed=N"),
        (["strategy=lora", "strategy.rank=2,4"], "give strategy.rank one value"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        compose_candidates(words, TUNING)


def test_a_seed_that_chooses_is_none_of_the_final_ones() -> None:
    with pytest.raises(SettingsError, match="trial_seed=1 is one of final_seeds"):
        TuneSettings(budget=Budget(trials=4), trial_seed=1)
    with pytest.raises(SettingsError, match=r"one of budget\.trials"):
        Budget()


def test_a_strategy_without_a_yaml_has_rates_and_its_own_numbers() -> None:
    (candidate,) = compose_candidates(["strategy=iisan_low_rank_cached"], TUNING)
    assert set(default_space(candidate.settings).dimensions) == {
        *("learning_rates.introduced", "learning_rates.recommender", "strategy.bottleneck", "strategy.rank")
    }
    (candidate,) = compose_candidates(["strategy=lora"], TUNING)
    dropout = default_space(candidate.settings).dimensions["strategy.dropout"]
    assert (dropout.low, dropout.high) == (0.0, 0.5)  # type: ignore[union-attr]


def test_draws_are_a_function_of_seed_name_and_number() -> None:
    space = read_space({"space": {"learning_rates.text": RATE.model_dump()}}, "here")
    first = draw(space, seed=0, name="lora", number=3)
    assert first == draw(space, seed=0, name="lora", number=3)
    others = [draw(space, seed=1, name="lora", number=3), draw(space, seed=0, name="full", number=3)]
    assert first not in [*others, draw(space, seed=0, name="lora", number=4)]


def test_draws_are_even_on_their_scale() -> None:
    shares = (np.arange(1000) + 0.5) / 1000
    values = np.array([float(str(value_at(RATE, share))) for share in shares])
    assert values.min() >= RATE.low
    assert values.max() <= RATE.high
    places = np.log(values / RATE.low) / math.log(RATE.high / RATE.low)
    assert np.abs(places - shares).max() < 0.002  # three significant digits
    whole = IntRange(type="int", low=2, high=5)
    counts = np.unique([int(str(value_at(whole, share))) for share in shares], return_counts=True)
    assert counts[0].tolist() == [2, 3, 4, 5]
    assert counts[1].tolist() == [250] * 4
    choice = Choice(type="choice", values=(None, ["query"], "all"))
    assert [value_at(choice, share) for share in (0.0, 0.4, 1.0)] == [None, ["query"], "all"]
    assert RATE.place_of(1e-3) == pytest.approx(0.5)
