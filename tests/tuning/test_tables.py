"""What is said under the table of tuned settings."""

from types import SimpleNamespace
from typing import Any

import pytest

from peftrec.tuning.tables import chosen_text, seeds_text


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
        ([row("id", a=1, b=2), row("full", x=7)], "seeds 1, 2"),
        ([row("id", a=1, b=2, c=3), row("lora", d=2)], "seeds 1, 2; id also with seed 3, before"),
        ([row("id", a=1, c=4, e=3)], "seeds 1, 2; id also with seeds 3, 4, before"),
    ],
)
def test_seeds_of_earlier_commands_are_told_apart(rows: list[Any], said: str) -> None:
    assert seeds_text(rows, [frozenset("ab"), frozenset("d")], (1, 2)) == said
