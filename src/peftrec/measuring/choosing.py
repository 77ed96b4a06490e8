"""Which runs of a folder are measured, how long a turn is, and which processes stand beside each other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftrec.errors import UserError
from peftrec.results.labels import label_runs
from peftrec.results.record import Record
from peftrec.results.runs import Run, check_comparable, find_runs
from peftrec.results.superseded import without_superseded

SECONDS_OF_A_TURN = 0.3
"""As short as a turn may be: below, the scheduler's slices, of milliseconds, are no longer small beside it."""
LONGEST_TURN_SECONDS = 3.0
"""The slowest run's turn, where that leaves FEWEST_STEPS."""
FEWEST_STEPS = 2
MOST_STEPS = 32
PROCESS_BYTES = 700 * 2**20
"""Of a process before it holds a model or data: interpreter and libraries."""
CUDA_CONTEXT_BYTES = 2**30
SHARE_OF_FREE_MEMORY = 0.8


@dataclass(frozen=True)
class Turns:
    """How a turn of each run is made up."""

    num_steps: int
    """The same for all, so that all train on the same batches."""
    passes: tuple[int, ...]
    """Of each run, over these batches."""


def runs_to_measure(folder: Path) -> list[Run]:
    """Return one run of each row that a report of the folder would have: the one of the least seed, because costs do
    not depend on it.

    Raises RecordError where there are no runs, or they belong to different comparisons; UserError where there is
    nothing to compare, or a run trained on several devices.
    """
    counting, _ = without_superseded(find_runs(folder))
    successes = [run for run in counting if run.is_success]
    check_comparable(successes)
    rows = label_runs(successes)
    if len(rows) <= 1:
        found = ", ".join(rows) or "none that is finished"
        raise UserError(f"{folder}: steps are measured beside those of other strategies, here: {found}; train another")
    chosen = [min(group, key=lambda run: run.record.seed) for group in rows.values()]
    for run in chosen:
        if run.record.latest.num_devices > 1:
            raise UserError(
                f"{run.folder}: trained on {run.record.latest.devices}, and runs of one device alone are measured side "
                "by side; report its costs of training, or train all on one device"
            )
    return chosen


def turns_of(runs: Sequence[Run]) -> Turns:
    """Return how many steps, and how often, make a turn of each run."""
    seconds = [fastest_step(run.record) for run in runs]
    fitting = math.floor(LONGEST_TURN_SECONDS / max(seconds))
    in_an_epoch = min(run.record.epochs[-1].num_steps for run in runs)
    num_steps = min(max(fitting, FEWEST_STEPS), MOST_STEPS, in_an_epoch)
    return Turns(num_steps, tuple(max(1, math.ceil(SECONDS_OF_A_TURN / (num_steps * each))) for each in seconds))


def fastest_step(record: Record) -> float:
    """Return the seconds of a step in the run's fastest epoch: the one that was disturbed least."""
    return min(epoch.training_seconds / epoch.num_steps for epoch in record.epochs)


def in_blocks(runs: Sequence[Run], needs: Mapping[str, int], free: int) -> list[list[Run]]:
    """Divide runs, by what the process of each needs, into sets that fit into `free` bytes together; where one set does
    not do, the run that needs least stands in all of them, first.

    Raises UserError where a run does not fit beside it.
    """
    if sum(needs.values()) <= free:
        return [list(runs)]
    reference, *others = sorted(runs, key=lambda run: needs[run.name])
    left = free - needs[reference.name]
    blocks: list[list[Run]] = []
    room = 0
    for run in others:
        need = needs[run.name]
        if need > left:
            raise UserError(
                f"{run.folder}: measuring it beside {reference.name} needs about "
                f"{(need + needs[reference.name]) / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB may be taken; end other "
                "programs, or measure on a machine with more memory"
            )
        if need > room:
            blocks.append([reference])
            room = left
        blocks[-1].append(run)
        room -= need
    return blocks


def bytes_on_host(record: Record) -> int:
    """Estimate what the run's process holds of the host's memory, from what training did."""
    block = record.efficiency
    if block is None:
        return PROCESS_BYTES
    stored = block.store_bytes if block.store_placement == "host" else 0
    exact = 0 if block.exact_bytes is None or is_on_cuda(record) else block.exact_bytes.total
    return PROCESS_BYTES + (stored or 0) + max(exact, block.resident_peak_bytes or 0)


def bytes_on_device(record: Record) -> int:
    """Return what the run's process holds of a CUDA device; 0 on a CPU."""
    block = record.efficiency
    reserved = None if block is None else block.cuda_max_reserved_bytes
    return 0 if reserved is None else reserved + CUDA_CONTEXT_BYTES


def is_on_cuda(record: Record) -> bool:
    return record.efficiency is not None and record.efficiency.cuda_max_allocated_bytes is not None
