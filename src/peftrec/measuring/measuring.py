"""`peftrec measure`: steps of all runs of a folder timed side by side, and written into their records."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.devices import free_device_memory, free_host_memory, resolve_device
from peftrec.errors import UserError, counted
from peftrec.files import try_writing
from peftrec.jobs.supervisor import Supervisor
from peftrec.jobs.temporary import temporary_folder
from peftrec.measuring.choosing import (
    SHARE_OF_FREE_MEMORY,
    Turns,
    bytes_on_device,
    bytes_on_host,
    in_blocks,
    runs_to_measure,
    turns_of,
)
from peftrec.measuring.request import FEWEST_ROUNDS, MeasureRequest
from peftrec.measuring.turns import Turn, TurnTakers, one_round, threads_of, warm_up
from peftrec.results.alternation import Block, Ratios, ratios
from peftrec.results.record import Record, read_record, write_record
from peftrec.results.runs import Run
from peftrec.results.side_by_side import Round, SideBySide
from peftrec.settings.run import settings_from_config
from peftrec.settings.run_identity import cost_conditions, run_code


@dataclass
class _Measured:
    """What a run gave so far."""

    rounds: list[Round] = field(default_factory=list)
    last: Turn | None = None
    description: dict[str, Any] = field(default_factory=dict)


def measure(request: MeasureRequest) -> list[SideBySide]:
    """Measure one run of each row of a folder, write it into their records, and return it in their order.

    Nothing is written before all is measured, so that what ends it early leaves the records as they were.
    Raises UserError where there is nothing to compare, memory is too small, or a run cannot be built again.
    """
    runs = runs_to_measure(request.folder)
    if not request.again and (found := measured_already(runs, request)) is not None:
        tell(f"measured already, on {found[0].measured_at[:10]}, by the same code; again=true measures anew")
        return found
    _check_places(request.folder, runs)
    turns = turns_of(runs)
    blocks = in_blocks(runs, *memory_of(runs))
    tell(
        f"measuring {len(runs)} runs, one of each row (the least seed: costs do not depend on it): "
        f"{counted(turns.num_steps, 'step')} in turns, at most {request.rounds} rounds"
        + (f", in {len(blocks)} blocks" if len(blocks) > 1 else "")
    )
    measured = {run.name: _Measured() for run in runs}
    reference = blocks[0][0].name if len(blocks) > 1 else None
    with temporary_folder() as folder, Supervisor() as supervisor:
        supervisor.server.start(threads=threads_of(runs[0]))
        for number, members in enumerate(blocks):
            with TurnTakers(supervisor, Path(folder), num_steps=turns.num_steps) as takers:
                _measure_block(takers, number, members, measured, turns=_passes(runs, turns), request=request)
    return _written(runs, measured, reference, turns=turns, request=request)


def _check_places(folder: Path, runs: Sequence[Run]) -> None:
    """Raise UserError, before anything is measured, where a record could not be written afterwards."""
    for run in runs:
        try:
            try_writing(run.folder)
        except OSError as error:
            raise UserError(
                f"{run.folder}: cannot be written ({error.strerror}), and costs go into the records there; let this "
                f"user write there and free space, or measure a copy: cp -r {folder} COPY && peftrec measure COPY"
            ) from error


def _passes(runs: Sequence[Run], turns: Turns) -> dict[str, int]:
    return {run.name: passes for run, passes in zip(runs, turns.passes, strict=True)}


def memory_of(runs: Sequence[Run]) -> tuple[dict[str, int], int]:
    """Return what each run's process, by its name, needs of the memory that there is least of, and how much of that may
    be taken."""
    on_device = {run.name: bytes_on_device(run.record) for run in runs}
    on_host = {run.name: bytes_on_host(run.record) for run in runs}
    free_on_host = int(SHARE_OF_FREE_MEMORY * free_host_memory())
    if not any(on_device.values()):
        return on_host, free_on_host
    free_on_device = int(SHARE_OF_FREE_MEMORY * free_device_memory(resolve_device("auto")))
    is_host_scarcer = sum(on_host.values()) / free_on_host > sum(on_device.values()) / max(1, free_on_device)
    return (on_host, free_on_host) if is_host_scarcer else (on_device, free_on_device)


def _measure_block(
    takers: TurnTakers,
    number: int,
    members: Sequence[Run],
    measured: Mapping[str, _Measured],
    *,
    turns: Mapping[str, int],
    request: MeasureRequest,
) -> None:
    """Take rounds until the intervals are narrow enough, or there are no more."""
    generator = np.random.default_rng([request.seed, number])
    running = takers.start(members, turns)
    for taker in running:
        measured[taker.run.name].description = taker.description
    warm_up(running)
    for round_number in range(request.rounds):
        order, taken = one_round(running, generator)
        for place, taker in enumerate(running):
            own = measured[taker.run.name]
            own.rounds.append(taken[place].round(block=number, number=round_number, place=order.index(place)))
            own.last = taken[place]
        if round_number + 1 >= FEWEST_ROUNDS:
            so_far = ratios([_block(number, members, measured)], None)
            tell(f"round {round_number + 1} of {request.rounds}: the widest interval is {so_far.widest():.0%} wide")
            if so_far.widest() <= request.width:
                break
    takers.end(running)


def _block(number: int, members: Sequence[Run], measured: Mapping[str, _Measured]) -> Block:
    seconds = [[each.seconds_per_step for each in measured[run.name].rounds if each.block == number] for run in members]
    return Block(tuple(run.name for run in members), np.array(seconds).T)


def _written(
    runs: Sequence[Run],
    measured: Mapping[str, _Measured],
    reference: str | None,
    *,
    turns: Turns,
    request: MeasureRequest,
) -> list[SideBySide]:
    """Write what was measured into the records, as they are now."""
    shared = {
        "measurement": uuid.uuid4().hex[:12],
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "members": [run.name for run in runs],
        "reference": reference,
        "order_seed": request.seed,
        "num_steps": turns.num_steps,
    }
    blocks = sorted({each.block for own in measured.values() for each in own.rounds})
    in_block = [[run for run in runs if any(r.block == block for r in measured[run.name].rounds)] for block in blocks]
    found = ratios([_block(block, these, measured) for block, these in zip(blocks, in_block, strict=True)], reference)
    parts = []
    for run, passes in zip(runs, turns.passes, strict=True):
        part = _part(run, measured[run.name], found, shared | {"num_passes": passes})
        write_record(read_record(run.folder).model_copy(update={"side_by_side": part}), run.folder)
        parts.append(part)
    return parts


def _part(run: Run, own: _Measured, found: Ratios, shared: Mapping[str, Any]) -> SideBySide:
    assert own.last is not None, "every run takes its turn in every round"
    low, high = found.interval(run.name)
    return SideBySide(
        **shared,
        rounds=own.rounds,
        seconds_per_step=found.ratio(run.name) * found.seconds,
        ratio=found.ratio(run.name),
        ratio_low=low,
        ratio_high=high,
        peak_memory_bytes=own.last.allocated_bytes,
        memory_source=own.last.memory_source,
        **own.description,
    )


def measured_already(runs: Sequence[Run], request: MeasureRequest) -> list[SideBySide] | None:
    """Return what the records hold where one measurement of exactly these runs, by the code that is there now, under
    the conditions that they trained with, was as exact as is asked; None otherwise."""
    parts = [run.record.side_by_side for run in runs]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(runs) or len({part.measurement for part in whole}) > 1:
        return None
    if set(whole[0].members) != {run.name for run in runs}:
        return None
    for run, part in zip(runs, whole, strict=True):
        is_exact = part.ratio_high / part.ratio_low - 1 <= request.width or len(part.rounds) >= request.rounds
        is_same = part.code_hash == run_code(settings_from_config(run.record.config)).digest
        if not (is_exact and is_same and is_as_trained(run.record, part)):
            return None
    return whole


def is_as_trained(record: Record, part: SideBySide) -> bool:
    """Say whether steps were timed as the run was told to train: by its keys that decide costs, and with its threads.
    What else a machine happens to be like may differ from hour to hour."""
    told = {*cost_conditions(record.config, record.roles), "threads"}
    return all(part.conditions.get(key) == record.latest.conditions.get(key) for key in told)


def tell(text: str) -> None:
    """Say on standard error how far the measurement is."""
    print(text, file=sys.stderr, flush=True)
