"""What is said under the table of tuned settings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import write_record
from peftrec.tuning.tables import chosen_text, is_final, seeds_text


def test_chosen_values_stand_behind_the_shortest_keys_that_tell_them_apart() -> None:
    assert chosen_text({"learning_rates.text": 1e-4, "strategy.rank": 8}) == "text=0.0001, rank=8"
    both = {"strategy.dropout": 0.1, "user_encoder.dropout": 0.2}
    assert chosen_text(both) == "strategy.dropout=0.1, user_encoder.dropout=0.2"


def row(strategy: str, **seeds: int) -> Any:
    runs = [SimpleNamespace(name=name, record=SimpleNamespace(seed=seed)) for name, seed in seeds.items()]
    return SimpleNamespace(strategy=strategy, runs=runs)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("id", a=1, b=2)], "seeds 1, 2"),
        ([row("id", a=1, b=2, c=3), row("lora", d=2)], "seeds 1, 2; id also with seed 3, before"),
        ([row("id", a=1, c=4, e=3)], "seeds 1, 2; id also with seeds 3, 4, before"),
    ],
)
def test_seeds_of_earlier_commands_are_told_apart(rows: list[Any], said: str) -> None:
    assert seeds_text(rows, (1, 2)) == said


@pytest.mark.parametrize(
    ("changed", "is_it"),
    [
        ({}, True),
        ({"learning_rates": {"text": 1e-4, "recommender": 1e-3}}, False),
        ({"batch_size": 64}, False),
        ({"towers": {"text": {"checkpoint": "bert", "seed": 7}}, "seed": 7}, True),
        ({"name": "elsewhere", "trainer": {"devices": 2, "precision": "32-true"}}, True),
        ({"trainer": {"devices": 2, "precision": "bf16-mixed"}}, False),
    ],
)
def test_a_row_is_a_studys_by_its_settings_and_not_by_who_trained_it(
    changed: dict[str, Any], is_it: bool, tmp_path: Path
) -> None:
    """Seeds are no setting, what decides no result is not in a study's plan, and `auto` is what the chosen trial says
    that it came to."""
    shared = {
        "seed": 0,
        "batch_size": 128,
        "trainer": {"precision": "auto"},
        "learning_rates": {"text": 1e-4, "recommender": 1e-3},
        "towers": {"text": {"checkpoint": "bert", "seed": 0}},
    }
    record = made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 20))
    write_record(record.model_copy(update={"config": {**shared, "trainer": {"precision": "32-true"}}}), tmp_path)
    best: Any = SimpleNamespace(number=3, run_directory=str(tmp_path))
    study: Any = SimpleNamespace(
        best=lambda: best, plan={"settings": shared}, chosen_values=lambda _: {"learning_rates.text": 3e-4}
    )
    config = {
        **shared,
        "learning_rates": {"text": 3e-4, "recommender": 1e-3},
        "name": "here",
        "trainer": {"precision": "32-true"},
        **changed,
    }
    runs: Any = [SimpleNamespace(record=SimpleNamespace(config=config))]
    assert is_final(SimpleNamespace(runs=runs), study) is is_it  # type: ignore[arg-type]
    assert not is_final(SimpleNamespace(runs=[]), study)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [None, "nowhere"])
def test_without_the_chosen_trials_record_what_was_left_open_tells_no_row_from_another(
    place: str | None, tmp_path: Path
) -> None:
    best: Any = SimpleNamespace(number=3, run_directory=None if place is None else str(tmp_path / place))
    shared = {"batch_size": 8, "trainer": {"precision": "auto"}}
    study: Any = SimpleNamespace(best=lambda: best, plan={"settings": shared}, chosen_values=lambda _: {})
    for batch_size, is_it in ((8, True), (9, False)):
        config = {"batch_size": batch_size, "trainer": {"precision": "bf16-mixed"}}
        row: Any = SimpleNamespace(runs=[SimpleNamespace(record=SimpleNamespace(config=config))])
        assert is_final(row, study) is is_it
