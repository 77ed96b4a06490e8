"""The line that decides: which runs fit, with the largest batch of each."""

from types import SimpleNamespace
from typing import Any

import pytest

from peftrec.planning.answer import answer
from peftrec.planning.largest_batch import LargestBatch

GIB = 2**30


def largest(batch_size: int | None, *, is_whole_epoch: bool = False) -> LargestBatch:
    return LargestBatch(memory_bytes=24 * GIB, batch_size=batch_size, peak_bytes=GIB, is_whole_epoch=is_whole_epoch)


def plan(run: str, *, batch_size: int = 64, **batches: LargestBatch) -> Any:
    """Return what of a plan the answer reads."""
    return SimpleNamespace(
        run=run,
        batch_size=batch_size,
        peak_bytes=30 * GIB,
        largest_batch=batches.get("largest_batch"),
        checkpointed_batch=batches.get("checkpointed_batch"),
    )


def test_what_does_not_fit_is_tried_with_checkpointing() -> None:
    plans = [
        plan("full", largest_batch=largest(53), checkpointed_batch=largest(327)),
        plan("lora", largest_batch=largest(85)),
        plan("id", largest_batch=largest(2000, is_whole_epoch=True)),
        plan("small", largest_batch=largest(40, is_whole_epoch=True)),
    ]
    assert answer(plans, "GiB") == (
        "at batch 64 in 24 GiB: full no (53), lora yes (85), id yes (whole epoch), small yes (whole epoch); with "
        "trainer.gradient_checkpointing=true: full yes (327)"
    )


@pytest.mark.parametrize(("most", "does"), [(64, "yes"), (63, "no")])
def test_a_run_fits_where_its_own_batch_does(most: int, does: str) -> None:
    assert answer([plan("full", largest_batch=largest(most))], "GiB") == f"at batch 64 in 24 GiB: full {does} ({most})"


def test_where_no_batch_fits_the_least_need_is_said() -> None:
    found = answer([plan("full", largest_batch=largest(None), checkpointed_batch=largest(None))], "GiB")
    assert found.startswith("at batch 64 in 24 GiB: full no (a batch of 2 needs 1 GiB); with trainer.")


@pytest.mark.parametrize(
    ("unit", "memory", "need"),
    [("GiB", "24 GiB", "1 GiB"), ("GB", "25.8 GB", "1.1 GB"), ("MiB", "24,576 MiB", "1,024 MiB")],
)
def test_amounts_are_said_in_the_unit_of_the_question(unit: str, memory: str, need: str) -> None:
    found = answer([plan("full", largest_batch=largest(None))], unit)
    assert found == f"at batch 64 in {memory}: full no (a batch of 2 needs {need})"


def test_runs_of_different_batches_are_judged_by_their_own() -> None:
    plans = [
        plan("a", batch_size=32, largest_batch=largest(40)),
        plan("b", largest_batch=largest(40)),
    ]
    assert answer(plans, "GiB") == "at their own batches in 24 GiB: a yes (40), b no (40)"


def test_without_memory_the_need_is_said() -> None:
    assert answer([plan("full")], "MiB").startswith("at batch 64: full needs 30,720.0 MiB; memory=24GiB")
