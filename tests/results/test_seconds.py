"""Which seconds a table takes, how sure they are, and what is called best."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from peftrec.results import tables
from peftrec.results.comparison import Comparison, compare, table
from peftrec.results.costs import Epoch, MachineUse
from peftrec.results.disturbed import counted_epochs, longest_slowdown, scatter
from peftrec.results.latex import to_latex
from peftrec.results.record import Record
from peftrec.results.runs import Run, find_runs
from peftrec.results.side_by_side import Round, SideBySide

QUIET = {"adapter": 50.0, "bitfit": 45.0, "fft": 64.0, "frozen": 9.0, "id": 2.0, "iisan": 24.0, "lora": 52.0}
NUM_EPOCHS = 8


def epochs(seconds: Sequence[float], machine: Callable[[float], MachineUse] | None = None) -> list[Epoch]:
    return [
        Epoch(
            epoch=number,
            training_loss=1.0,
            validation={"hr@10": 0.1},
            training_seconds=each,
            data_wait_seconds=0.0,
            num_steps=10,
            machine=None if machine is None else machine(each),
        )
        for number, each in enumerate(seconds)
    ]


def quiet(seconds: float) -> MachineUse:
    return MachineUse(processor_seconds=1.9 * seconds, other_processor_seconds=0.01 * seconds, steal_seconds=0.0)


def busy(seconds: float) -> MachineUse:
    return MachineUse(processor_seconds=0.4 * seconds, other_processor_seconds=1.5 * seconds, steal_seconds=0.0)


def trained(
    experiment: Path, change: Callable[..., None], noise: float, machines: Mapping[str, Callable[[float], MachineUse]]
) -> Comparison:
    """Return the comparison of the example with epochs that scatter by `noise`."""
    generator = np.random.default_rng(1)
    for run in find_runs(experiment):
        strategy = run.record.strategy
        seconds = QUIET[strategy] * np.exp(noise * generator.standard_normal(NUM_EPOCHS))
        change(run.folder, epochs=epochs(seconds.tolist(), machines.get(strategy, quiet)))
    return compare(find_runs(experiment))


def part(
    run: Run, levels: Mapping[str, float], machine: Callable[[float], MachineUse], **changes: object
) -> SideBySide:
    """Return what a measurement of seven rounds, each at another speed of the machine, says of a run."""
    generator = np.random.default_rng([3, list(levels).index(run.name)])
    rounds = []
    for number, speed in enumerate((1.0, 7.0, 2.0, 0.5, 3.0, 1.0, 20.0)):
        seconds = speed * levels[run.name] * float(np.exp(0.01 * generator.standard_normal()))
        rounds.append(
            Round(
                block=0,
                number=number,
                place=0,
                seconds_per_step=seconds,
                num_steps=4,
                seconds=4 * seconds,
                machine=machine(4 * seconds),
            )
        )
    values = {
        "measurement": "m1",
        "measured_at": "2026-11-29T10:00:00+00:00",
        "members": list(levels),
        "reference": None,
        "order_seed": 1,
        "num_steps": 4,
        "num_passes": 1,
        "rounds": rounds,
        "seconds_per_step": levels[run.name],
        "ratio": 1.0,
        "ratio_low": 1.0,
        "ratio_high": 1.0,
        "peak_memory_bytes": None,
        "device": run.record.latest.device,
        "conditions": run.record.latest.conditions,
        "versions": {},
        "code_hash": run.record.code_hash,
    }
    return SideBySide.model_validate(values | changes)


def side_by_side(
    experiment: Path,
    change: Callable[..., None],
    machine: Callable[[float], MachineUse] = quiet,
    changes: Mapping[str, Mapping[str, object]] | None = None,
) -> Comparison:
    """Return the comparison where the first seed of each strategy was timed side by side."""
    runs = [run for run in find_runs(experiment) if run.record.seed == 1]
    levels = {run.name: QUIET[run.record.strategy] / 10 for run in runs}
    for run in runs:
        own = (changes or {}).get(run.record.strategy, {})
        change(run.folder, side_by_side=part(run, levels, machine, **own))
    return compare(find_runs(experiment))


def test_epochs_that_hardly_scatter_name_a_best_row(experiment: Path, change: Callable[..., None]) -> None:
    comparison = trained(experiment, change, 0.01, {})
    assert comparison.seconds.source == "training"
    assert not comparison.seconds.disturbed
    assert comparison.certain.least_seconds == "id"
    best = tables.best_cells(comparison)
    frame = table(comparison)
    assert frame.loc[best["seconds_per_epoch"], "strategy"].tolist() == ["id"]
    assert frame.loc[best["tpme"], "strategy"].tolist() == ["id"]
    for name, (low, high) in comparison.certain.tpme.items():
        assert low <= comparison.tpme[name] <= high
    assert set(frame["seconds_from"].dropna()) == {"training"}


def test_rows_within_their_scatter_leave_none_best(experiment: Path, change: Callable[..., None]) -> None:
    for run in find_runs(experiment):
        if run.record.strategy not in ("adapter", "bitfit"):
            (run.folder / "record.json").unlink()
    comparison = trained(experiment, change, 0.3, {})
    assert comparison.certain.least_seconds is None
    assert not tables.best_cells(comparison)["seconds_per_epoch"].any()
    assert set(comparison.seconds.disturbed) == {"adapter", "bitfit"}
    assert "its epochs scatter by" in comparison.seconds.disturbed["adapter"].text


def test_a_busy_machine_is_marked_and_leaves_none_best(experiment: Path, change: Callable[..., None]) -> None:
    """Epochs that are all equally slow do not scatter; what the kernel counted still tells."""
    comparison = trained(experiment, change, 0.0, {"iisan": busy})
    assert set(comparison.seconds.disturbed) == {"iisan"}
    text = "other programs kept 1.5 processors busy, it had a processor in 40% of its time"
    assert comparison.seconds.disturbed["iisan"].text == text
    assert comparison.certain.least_seconds is comparison.certain.least_tpme is None
    assert any("The machine was busy" in note for note in comparison.notes)
    markdown, latex = tables.to_markdown(comparison), to_latex(comparison, pd.DataFrame())
    assert "| 23.8 † |" in markdown
    assert r"$^{\dagger}$" in latex
    assert latex.isascii()
    assert table(comparison).set_index("strategy").loc["iisan", "disturbed"] == text


def test_a_row_without_machine_use_is_not_called_quiet_or_busy(experiment: Path, change: Callable[..., None]) -> None:
    for run in find_runs(experiment):
        change(run.folder, epochs=epochs([QUIET[run.record.strategy]] * NUM_EPOCHS))
    assert not compare(find_runs(experiment)).seconds.disturbed


def test_side_by_side_costs_are_taken_where_every_row_has_them(experiment: Path, change: Callable[..., None]) -> None:
    """Rounds at forty times another speed leave the ratios, and with them TPME, as they are."""
    comparison = side_by_side(experiment, change)
    assert comparison.seconds.source == "side_by_side"
    rows = {row.strategy: row.cost for row in comparison.strategies}
    for name, seconds in QUIET.items():
        cost, reference = rows[name], rows["fft"]
        assert cost is not None
        assert reference is not None
        assert cost.seconds_per_epoch is not None
        assert reference.seconds_per_epoch is not None
        assert cost.seconds_per_epoch / reference.seconds_per_epoch == pytest.approx(seconds / QUIET["fft"], rel=0.03)
    assert comparison.certain.least_seconds == "id"
    assert any("side by side (2026-11-29, measurement m1)" in line for line in comparison.protocol)
    low, high = comparison.certain.tpme["iisan"]
    assert low < comparison.tpme["iisan"] < high < low + 0.02


@pytest.mark.parametrize(
    "changes", [{"lora": {"measurement": "m2"}}, {"id": {"measurement": "m0", "members": ["id-example1"]}}]
)
def test_mixed_measurements_are_refused(
    experiment: Path, change: Callable[..., None], changes: Mapping[str, Mapping[str, object]]
) -> None:
    comparison = side_by_side(experiment, change, changes=changes)
    assert comparison.seconds.source == "training"
    assert any("not those of all in one measurement" in note for note in comparison.notes)
    rows = {row.strategy: row.cost for row in comparison.strategies}
    assert rows["lora"] is not None
    assert rows["lora"].seconds_per_epoch == pytest.approx(52.0, rel=0.02)


def test_a_row_that_was_not_measured_leaves_training(
    experiment: Path, change: Callable[..., None], add_run: Callable[..., Path]
) -> None:
    side_by_side(experiment, change)
    extra = add_run("lora", 1, "extra-example1")
    change(extra, strategy="extra", question_hash="extra")
    comparison = compare(find_runs(experiment))
    assert "extra" in {row.strategy for row in comparison.strategies}
    assert comparison.seconds.source == "training"


def test_turns_on_a_busy_machine_hold_both_clocks(experiment: Path, change: Callable[..., None]) -> None:
    comparison = side_by_side(experiment, change, machine=busy)
    assert set(comparison.seconds.disturbed) == set(QUIET)
    assert any("hold wall time, processor time" in note for note in comparison.notes)
    assert comparison.certain.least_seconds is None, "others took 3.75 times what a row had, which is 4.5 times quicker"


def test_a_neighbour_of_a_tenth_of_the_work_leaves_what_is_clear(experiment: Path, change: Callable[..., None]) -> None:
    def half_busy(seconds: float) -> MachineUse:
        return busy(seconds).model_copy(
            update={"processor_seconds": 0.9 * seconds, "other_processor_seconds": 0.12 * seconds}
        )

    comparison = side_by_side(experiment, change, machine=half_busy)
    assert set(comparison.seconds.disturbed) == set(QUIET)
    assert comparison.certain.least_seconds == "id"
    low, high = comparison.certain.seconds["iisan"]
    assert 1.05 < high / low < 1.3


@pytest.mark.parametrize(
    ("threads", "expected"), [(2, 2.0), (1, 1.0), (None, 2.0)], ids=["two threads", "no thread more", "unknown"]
)
def test_others_slow_a_row_by_what_it_could_have_used(threads: int | None, expected: float, experiment: Path) -> None:
    run = find_runs(experiment)[0]

    def beside_a_loop(seconds: float) -> MachineUse:
        return quiet(seconds).model_copy(
            update={"processor_seconds": seconds, "other_processor_seconds": seconds, "steal_seconds": 0.0}
        )

    found = part(run, {run.name: 1.0}, beside_a_loop, conditions={"threads": threads, "trainer.devices": 1})
    assert longest_slowdown(found) == pytest.approx(expected)
    on_a_gpu = found.model_copy(update={"memory_source": "cuda_allocator"})
    assert longest_slowdown(on_a_gpu) == 1.0


def test_other_code_than_trained_is_said(experiment: Path, change: Callable[..., None]) -> None:
    comparison = side_by_side(
        experiment, change, changes={"lora": {"code_hash": "other"}, "id": {"conditions": {"threads": 3}}}
    )
    assert "Steps were timed by other code than trained: lora." in comparison.notes
    assert "Steps were timed under other conditions than training: id (threads)." in comparison.notes


def test_costs_are_those_of_the_conditions_that_the_run_ended_with(record: Record) -> None:
    first = record.stretches[0]
    other = first.model_copy(update={"first_epoch": 3, "conditions": {"threads": 8}})
    same = other.model_copy(update={"first_epoch": 5})
    changed = record.model_copy(update={"stretches": [first, other, same], "epochs": epochs([1.0] * 8)})
    assert [epoch.epoch for epoch in counted_epochs(changed)] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0, 2.0, 3.0], None), ([4.0] * 5, 0.0), ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 3)]
)
def test_scatter_is_the_distance_of_the_quartiles(values: list[float], expected: float | None) -> None:
    assert scatter(values) == expected


def test_memory_that_training_did_not_tell_is_that_of_the_measured_steps(
    experiment: Path, change: Callable[..., None]
) -> None:
    """As in records of before the allocator's log: measured for all rows, so that none is of another definition."""
    memory: dict[str, Mapping[str, object]] = {
        name: {"peak_memory_bytes": 1000 + place, "memory_source": "cpu_allocator"} for place, name in enumerate(QUIET)
    }
    known = side_by_side(experiment, change, changes=memory)
    assert not known.seconds.peak_memory_bytes, "training's stand where all rows have them"
    for run in find_runs(experiment):
        if run.record.strategy == "lora":
            assert run.record.efficiency is not None
            change(run.folder, efficiency=run.record.efficiency.model_copy(update={"peak_memory_bytes": None}))
    comparison = compare(find_runs(experiment))
    rows = {row.strategy: row.cost for row in comparison.strategies}
    assert {name: cost and cost.peak_memory_bytes for name, cost in rows.items()} == {
        name: part["peak_memory_bytes"] for name, part in memory.items()
    }
    assert any("Memory is of these steps too" in line for line in comparison.protocol)
    assert set(comparison.tpme) == set(QUIET)
    lacking = side_by_side(experiment, change, changes=memory | {"id": {"peak_memory_bytes": None}})
    assert not lacking.tpme
