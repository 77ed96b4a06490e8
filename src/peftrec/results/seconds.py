"""Which seconds a table takes for each row, and how they scatter: of turns side by side where every row has them from
one measurement, otherwise of training.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peftrec.results.alternation import Block, Ratios, both_clocks, ratios, widened
from peftrec.results.bootstrap import FEWEST_UNITS, RESAMPLES, drawn_places
from peftrec.results.disturbed import Disturbance, counted_epochs, longest_slowdown, of_training, of_turns
from peftrec.results.runs import Run
from peftrec.results.side_by_side import Round, SideBySide

Values = NDArray[np.float64]
Source = Literal["side_by_side", "training"]


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Seconds an epoch by row."""

    source: Source
    per_epoch: Mapping[str, float]
    """Empty where they are training's, which rows have themselves."""
    draws: Mapping[str, Values]
    """[draw]; of rows with enough units to say how they scatter. Those of one measurement are drawn together."""
    num_units: int
    """Rounds or epochs behind the draws, of the row that has fewest; 0 without draws."""
    disturbed: Mapping[str, Disturbance]
    """Rows that other work, or their own scatter, makes less certain."""
    measured: tuple[SideBySide, ...] = ()
    peak_memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """What the allocator held in the measured steps, of all rows alike, where the runs of some row do not know it of
    their training; empty otherwise."""

    @property
    def is_busy(self) -> bool:
        """Whether the machine did other work beside some row."""
        return any(disturbance.busy for disturbance in self.disturbed.values())


def seconds_of(rows: Mapping[str, Sequence[Run]]) -> Seconds:
    """Return the seconds of rows, each with its runs that ended well."""
    parts = {name: measured_part(runs) for name, runs in rows.items()}
    whole = {name: part for name, part in parts.items() if part is not None}
    if len(whole) == len(rows) > 1 and len({part.measurement for part in whole.values()}) == 1:
        return _side_by_side(rows, whole)
    return _of_training(rows)


def measured_part(runs: Sequence[Run]) -> SideBySide | None:
    """Return the row's part of a measurement, the latest where several of its runs have one."""
    found = [run.record.side_by_side for run in runs if run.record.side_by_side is not None]
    return max(found, key=lambda part: part.measured_at, default=None)


def _side_by_side(rows: Mapping[str, Sequence[Run]], parts: Mapping[str, SideBySide]) -> Seconds:
    disturbed = {name: of_turns(part) for name, part in parts.items()}
    steps = {name: rows[name][0].record.epochs[-1].num_steps for name in parts}
    found = ratios_of(parts, is_busy=any(each.busy for each in disturbed.values()))
    return Seconds(
        source="side_by_side",
        per_epoch={name: steps[name] * found.seconds * found.ratio(name) for name in parts},
        draws={
            name: steps[name] * found.seconds * np.exp(found.draws[:, place])
            for place, name in enumerate(found.members)
        },
        num_units=found.num_rounds,
        disturbed={name: each for name, each in disturbed.items() if each},
        measured=tuple(parts.values()),
        peak_memory_bytes=_measured_memory(rows, parts),
    )


def _measured_memory(rows: Mapping[str, Sequence[Run]], parts: Mapping[str, SideBySide]) -> dict[str, int]:
    found = {name: part.peak_memory_bytes for name, part in parts.items() if part.peak_memory_bytes is not None}
    are_known = all(any(_knows_memory(run) for run in runs) for runs in rows.values())
    return {} if are_known or len(found) < len(rows) else found


def _knows_memory(run: Run) -> bool:
    return run.record.efficiency is not None and run.record.efficiency.peak_memory_bytes is not None


def ratios_of(parts: Mapping[str, SideBySide], *, is_busy: bool) -> Ratios:
    """Return the ratios of rows that were measured together; of a busy machine's, by both clocks, and within what its
    other work may have done."""
    reference_run = next(iter(parts.values())).reference
    reference = None if reference_run is None else _most_blocks(parts)
    wall = ratios(_blocks(parts, lambda turn: turn.seconds_per_step), reference)
    if not is_busy or any(turn.machine is None for part in parts.values() for turn in part.rounds):
        return wall
    both = both_clocks(wall, ratios(_blocks(parts, processor_seconds_per_step), reference, seed=1))
    return widened(both, {name: longest_slowdown(part) for name, part in parts.items()})


def processor_seconds_per_step(turn: Round) -> float:
    assert turn.machine is not None
    return turn.machine.processor_seconds / turn.num_steps


def _most_blocks(parts: Mapping[str, SideBySide]) -> str:
    """Return the row that stands in every block."""
    return max(parts, key=lambda name: len({turn.block for turn in parts[name].rounds}))


def _blocks(parts: Mapping[str, SideBySide], value_of: Callable[[Round], float]) -> list[Block]:
    numbers = sorted({turn.block for part in parts.values() for turn in part.rounds})
    blocks = []
    for number in numbers:
        turns = {
            name: [turn for turn in part.rounds if turn.block == number]
            for name, part in parts.items()
            if any(turn.block == number for turn in part.rounds)
        }
        blocks.append(Block(tuple(turns), np.array([[value_of(turn) for turn in each] for each in turns.values()]).T))
    return blocks


def _of_training(rows: Mapping[str, Sequence[Run]]) -> Seconds:
    draws: dict[str, Values] = {}
    units: list[int] = []
    for name, runs in rows.items():
        seconds = [[epoch.training_seconds for epoch in counted_epochs(run.record)] for run in runs]
        number = sum(map(len, seconds))
        if all(seconds) and number >= FEWEST_UNITS:
            draws[name] = epoch_draws([np.array(each) for each in seconds], _generator(name))
            units.append(number)
    return Seconds(
        source="training",
        per_epoch={},
        draws=draws,
        num_units=min(units, default=0),
        disturbed={name: found for name, runs in rows.items() if (found := _worst(runs))},
    )


def epoch_draws(seconds: Sequence[Values], generator: np.random.Generator) -> Values:
    """Return the median over seeds of the median over epochs, with seeds drawn again, and epochs in each of them."""
    places = drawn_places(len(seconds), generator)
    drawn = np.empty_like(places, dtype=np.float64)
    for column in range(places.shape[1]):
        for seed, epochs in enumerate(seconds):
            medians = np.median(epochs[drawn_places(len(epochs), generator)], axis=1)
            drawn[:, column] = np.where(places[:, column] == seed, medians, drawn[:, column])
    result: Values = np.median(drawn, axis=1)
    assert result.shape == (RESAMPLES,)
    return result


def _worst(runs: Sequence[Run]) -> Disturbance:
    """Return what disturbed a row: the worst of its runs, where any was."""
    found = [of_training(run.record) for run in runs]
    return max(found, key=lambda each: (len(each.busy), each.scatter or 0.0))


def _generator(name: str) -> np.random.Generator:
    """Draw each row from a stream of its own, so that one more row does not change the others' figures."""
    return np.random.default_rng([1, zlib.crc32(name.encode())])
