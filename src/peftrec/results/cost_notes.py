"""What must be said beside seconds and TPME: how they were timed, and what disturbed them."""

from collections.abc import Mapping, Sequence

from peftrec.errors import counted
from peftrec.results.intervals import Certainty
from peftrec.results.runs import Run
from peftrec.results.seconds import Seconds, measured_part

MARK = "†"
MEASURE = "peftrec measure RUNS_DIR times their steps side by side"


def seconds_protocol(seconds: Seconds, certain: Certainty) -> tuple[str, ...]:
    """Return how seconds were timed, and what their intervals are of."""
    if seconds.source == "side_by_side":
        part = seconds.measured[0]
        others = "Other times, and memory, are training's."
        if seconds.peak_memory_bytes:
            others = "Memory is of these steps too; other times are training's."
        lines = [
            f"Seconds an epoch are those of steps timed side by side ({part.measured_at[:10]}, measurement "
            f"{part.measurement}): one run of each row, {counted(part.num_steps, 'step')} in turns, the ratios inside "
            f"each of {seconds.num_units} rounds, their median over rounds, times the steps of an epoch. {others}"
        ]
        units = "rounds"
    else:
        lines = [
            "Seconds an epoch are training's, the median over epochs after the first and over seeds. Runs were timed "
            f"one after another, so that whatever else the machine did is in them; {MEASURE}."
        ]
        units = "epochs and seeds"
    if certain.seconds:
        lines.append(
            f"seconds_ci and tpme_ci: the 95 % interval over {units}, by drawing them again. A row is marked best in "
            "seconds or TPME only where the interval of its difference to every other row excludes equality."
        )
    else:
        lines.append("No row is marked best in seconds or TPME: too few epochs to say how they scatter.")
    return tuple(lines)


def seconds_notes(seconds: Seconds, rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return which rows were disturbed, and which could be compared side by side but are not."""
    notes = [f"{name} {MARK}: {disturbance.text}." for name, disturbance in seconds.disturbed.items()]
    if seconds.is_busy and seconds.source == "training":
        notes.append(
            f"The machine was busy while rows with {MARK} were timed: their seconds may be many times too long, so "
            f"that no row is marked best in seconds or TPME. {MEASURE}."
        )
    elif seconds.is_busy:
        notes.append(
            "The machine was busy while steps were timed side by side: their intervals hold wall time, processor time, "
            "and what the processors that others took may have meant for each row."
        )
    if seconds.source == "training" and any(measured_part(runs) for runs in rows.values()):
        notes.append(
            "Steps of some rows were timed side by side, but not those of all in one measurement, so that seconds are "
            f"training's; {MEASURE}."
        )
    if seconds.source == "side_by_side":
        notes += _other_ways(seconds, rows)
    return notes


def _other_ways(seconds: Seconds, rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return which rows' steps were timed by other code, or under other conditions, than they trained with."""
    notes = []
    by_id = {run.name: (name, run.record) for name, runs in rows.items() for run in runs}
    parts = {run.name: run.record.side_by_side for runs in rows.values() for run in runs}
    of_this = {name: part for name, part in parts.items() if part is not None and part in seconds.measured}
    code = [by_id[name][0] for name, part in of_this.items() if part.code_hash != by_id[name][1].code_hash]
    conditions = [
        f"{by_id[name][0]} ({', '.join(differing)})"
        for name, part in of_this.items()
        if (
            differing := sorted(
                key
                for key in {*part.conditions, *by_id[name][1].latest.conditions}
                if part.conditions.get(key) != by_id[name][1].latest.conditions.get(key)
            )
        )
    ]
    if code:
        notes.append(f"Steps were timed by other code than trained: {', '.join(code)}.")
    if conditions:
        notes.append(f"Steps were timed under other conditions than training: {'; '.join(conditions)}.")
    return notes
