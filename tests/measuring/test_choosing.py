"""Which runs are measured, for how long, and beside which others."""

from pathlib import Path

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record, write_example_records
from peftrec.errors import RecordError, UserError
from peftrec.measuring.choosing import (
    FEWEST_STEPS,
    LONGEST_TURN_SECONDS,
    MOST_STEPS,
    SECONDS_OF_A_TURN,
    in_blocks,
    runs_to_measure,
    turns_of,
)
from peftrec.results.record import read_record, write_record
from peftrec.results.runs import Run

GIBIBYTE = 2**30


def run_of(name: str, *, step_seconds: float = 0.1, num_steps: int = 10) -> Run:
    record = made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 20))
    epochs = [
        epoch.model_copy(update={"training_seconds": step_seconds * num_steps * slower, "num_steps": num_steps})
        for epoch, slower in zip(record.epochs[:3], (9.0, 1.0, 3.0), strict=True)
    ]
    return Run(record.model_copy(update={"run_id": name, "epochs": epochs}), Path(name))


def test_one_run_of_each_row_the_one_of_the_least_seed(tmp_path: Path) -> None:
    folder = write_example_records(tmp_path, seeds=3, num_users=20)
    chosen = runs_to_measure(folder)
    assert [run.record.strategy for run in chosen] == sorted(each.strategy for each in STRATEGIES)
    assert {run.record.seed for run in chosen} == {1}


def test_a_single_row_is_refused(tmp_path: Path) -> None:
    folder = write_example_records(tmp_path, seeds=2, num_users=20)
    for file in folder.rglob("record.json"):
        if "lora" not in file.parent.name:
            file.unlink()
    with pytest.raises(UserError, match="beside those of other strategies, here: lora; train another"):
        runs_to_measure(folder)


def test_runs_of_several_devices_are_refused(tmp_path: Path) -> None:
    folder = write_example_records(tmp_path, seeds=1, num_users=20)
    for file in folder.rglob("record.json"):
        record = read_record(file)
        stretch = record.latest.model_copy(update={"num_devices": 2})
        write_record(record.model_copy(update={"stretches": [stretch]}), file.parent)
    with pytest.raises(UserError, match=r"2 x made-up .* one device alone"):
        runs_to_measure(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="train first"):
        runs_to_measure(tmp_path)


@pytest.mark.parametrize("seconds", [(0.001, 0.002), (0.01, 0.5), (0.004, 9.0)])
def test_turns_last_long_enough_and_not_too_long(seconds: tuple[float, ...]) -> None:
    turns = turns_of([run_of(str(each), step_seconds=each, num_steps=50) for each in seconds])
    assert FEWEST_STEPS <= turns.num_steps <= MOST_STEPS
    lasting = [turns.num_steps * passes * each for passes, each in zip(turns.passes, seconds, strict=True)]
    assert min(lasting) >= SECONDS_OF_A_TURN * 0.999
    assert max(lasting) <= max(LONGEST_TURN_SECONDS, FEWEST_STEPS * max(seconds)) * 1.001


def test_no_turn_has_more_steps_than_an_epoch() -> None:
    assert turns_of([run_of("short", num_steps=3), run_of("long", num_steps=40)]).num_steps == 3


def named(**gibibytes: float) -> tuple[list[Run], dict[str, int]]:
    return [run_of(name) for name in gibibytes], {name: int(size * GIBIBYTE) for name, size in gibibytes.items()}


def test_all_stand_beside_each_other_where_they_fit() -> None:
    runs, needs = named(one=2, two=3, three=1)
    assert in_blocks(runs, needs, 6 * GIBIBYTE) == [runs]


@pytest.mark.parametrize("free", [4, 4.5, 5, 6.9])
def test_blocks_fit_share_the_smallest_run_and_leave_none_out(free: float) -> None:
    runs, needs = named(a=2, b=3, small=1, d=1.5, e=2.5)
    blocks = in_blocks(runs, needs, int(free * GIBIBYTE))
    assert len(blocks) > 1
    for block in blocks:
        assert block[0].name == "small"
        assert len(block) > 1
        assert sum(needs[run.name] for run in block) <= free * GIBIBYTE
    others = [run.name for block in blocks for run in block[1:]]
    assert sorted(others) == ["a", "b", "d", "e"]


def test_a_run_that_fits_beside_none_is_named_with_what_it_needs() -> None:
    with pytest.raises(UserError, match=r"big: .* beside small needs about 9.0 GiB, and 8.5 GiB may be taken"):
        in_blocks(*named(big=8, small=1), free=int(8.5 * GIBIBYTE))
