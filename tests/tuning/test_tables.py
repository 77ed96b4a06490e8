"""What is said under the table of tuned settings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peftrec.errors import RecordError
from peftrec.tuning.combinations import Combination
from peftrec.tuning.tables import chosen_text, seeds_text, trials_begun


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


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a,b\n1,2,3\n4,"5'])
def test_a_damaged_table_of_trials_is_one_message(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    file.write_bytes(content)
    with pytest.raises(RecordError, match=r"trials\.csv: no table can be read; remove it"):
        trials_begun(file, [Combination(strategy="id")])
