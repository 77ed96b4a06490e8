"""Trials of a made-up tuning, beside the made-up runs."""

from pathlib import Path
from typing import Any

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import write_record


def write_trials(folder: Path, strategy: str, rates: list[dict[str, Any]]) -> None:
    """Write one trial for each group of learning rates."""
    invented = next(each for each in STRATEGIES if each.strategy == strategy)
    for number, own in enumerate(rates):
        record = made_up_record(invented, 1, made_up_ranks(0.3, number, 40))
        config = {**record.config, "learning_rates": own}
        update = {"kind": "trial", "evaluation": None, "run_id": f"{strategy}-trial{number}", "config": config}
        write_record(record.model_copy(update=update), folder / "trials" / f"{strategy}-trial{number}")
