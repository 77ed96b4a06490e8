"""Runs whose times are not theirs alone: their epochs scatter, or other work took processor time meanwhile.

A wall time does not say so itself. On one machine IISAN's epoch took 2.4 s, and 28 s beside other programs: a table of
such times ranks the machine's hours, not strategies.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from peftrec.results.costs import Epoch, MachineUse
from peftrec.results.machine_use import use_of_all
from peftrec.results.record import Record
from peftrec.results.side_by_side import SideBySide

MOST_SCATTER = 0.10
"""Distance of the quartiles to the median; from there on torch.utils.benchmark warns of what it measured."""
FEWEST_THAT_SCATTER = 4
MOST_OTHER_PROCESSORS = 0.10
"""How many processors others (programs, or the machine's host) kept busy, on the average: a tenth of one."""
LEAST_OWN_SHARE = 0.90
"""Of the time of a computation on a CPU that is not waiting for data, that it had a processor itself."""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What is known to have disturbed a run's times."""

    scatter: float | None = None
    """Of its epochs, where it is above MOST_SCATTER."""
    busy: tuple[str, ...] = ()
    """Signs that the machine did other work."""

    @property
    def text(self) -> str:
        scatter = [] if self.scatter is None else [f"its epochs scatter by {self.scatter:.0%}"]
        return ", ".join([*scatter, *self.busy])

    def __bool__(self) -> bool:
        return self.scatter is not None or bool(self.busy)


def counted_epochs(record: Record) -> list[Epoch]:
    """Return the epochs whose median the costs are: after the first, of the conditions that the run ended with."""
    first = 0
    for earlier, later in itertools.pairwise(record.stretches):
        if (earlier.devices, earlier.conditions) != (later.devices, later.conditions):
            first = later.first_epoch
    return record.epochs[first + 1 :]


def of_training(record: Record) -> Disturbance:
    """Return what disturbed the epochs that a run's costs are of."""
    epochs = counted_epochs(record)
    if not epochs:
        return Disturbance()
    spread = scatter([epoch.training_seconds / epoch.num_steps for epoch in epochs])
    use = use_of_all([epoch.machine for epoch in epochs if epoch.machine is not None])
    seconds = sum(epoch.training_seconds for epoch in epochs if epoch.machine is not None)
    waited = sum(epoch.data_wait_seconds for epoch in epochs if epoch.machine is not None)
    computes_here = record.efficiency is not None and record.efficiency.cuda_max_allocated_bytes is None
    return Disturbance(
        scatter=spread if spread is not None and spread > MOST_SCATTER else None,
        busy=signs(use, seconds, computing_seconds=seconds - waited if computes_here else None),
    )


def of_turns(part: SideBySide) -> Disturbance:
    """Return what the machine did beside a run's turns; that turns scatter is in their intervals."""
    turns = [turn for turn in part.rounds if turn.machine is not None]
    use = use_of_all([turn.machine for turn in turns if turn.machine is not None])
    seconds = sum(turn.seconds for turn in turns)
    return Disturbance(
        busy=signs(use, seconds, computing_seconds=None if part.memory_source == "cuda_allocator" else seconds)
    )


def longest_slowdown(part: SideBySide) -> float:
    """Return how many times longer a run's turns may have lasted than alone: as if it had had the processors that
    others took (as many as it has threads for), and could have used them. 1 where the device that computes is another,
    or nothing was counted."""
    use = use_of_all([turn.machine for turn in part.rounds if turn.machine is not None])
    if use is None or part.memory_source == "cuda_allocator" or use.processor_seconds == 0:
        return 1.0
    taken = (use.other_processor_seconds or 0.0) + (use.steal_seconds or 0.0)
    could_have_used = use.processor_seconds + taken
    threads, workers = part.conditions.get("threads"), part.conditions.get("trainer.num_workers", 0)
    if isinstance(threads, int) and isinstance(workers, int) and part.conditions.get("trainer.devices", 1) == 1:
        seconds = sum(turn.seconds for turn in part.rounds if turn.machine is not None)
        could_have_used = min(could_have_used, (threads + workers) * seconds)
    return max(could_have_used / use.processor_seconds, 1.0)


def signs(use: MachineUse | None, seconds: float, *, computing_seconds: float | None) -> tuple[str, ...]:
    """Return the signs of other work during `seconds`, `computing_seconds` of them for computing on processors."""
    if use is None or seconds <= 0:
        return ()
    found = []
    others = (use.other_processor_seconds or 0.0) / seconds
    if others > MOST_OTHER_PROCESSORS:
        found.append(f"other programs kept {others:.1f} processors busy")
    stolen = (use.steal_seconds or 0.0) / seconds
    if stolen > MOST_OTHER_PROCESSORS:
        found.append(f"the machine's host took {stolen:.1f} processors away")
    if computing_seconds is not None and use.processor_seconds < LEAST_OWN_SHARE * computing_seconds:
        found.append(f"it had a processor in {use.processor_seconds / computing_seconds:.0%} of its time")
    return tuple(found)


def scatter(values: Sequence[float]) -> float | None:
    """Return the distance of the quartiles to the median; None for too few values."""
    if len(values) < FEWEST_THAT_SCATTER:
        return None
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return (upper - lower) / middle
