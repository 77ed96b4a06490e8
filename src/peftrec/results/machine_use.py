"""What several stretches of time say of the machine together."""

from collections.abc import Iterable, Sequence

from peftrec.results.costs import MachineUse


def use_of_all(stretches: Sequence[MachineUse]) -> MachineUse | None:
    """Sum up; null where there are none, and a witness that one of them lacks is null."""
    if not stretches:
        return None
    switches = [stretch.involuntary_switches for stretch in stretches]
    loads = [stretch.load_average for stretch in stretches if stretch.load_average is not None]
    joules = _sum(stretch.joules for stretch in stretches)
    return MachineUse(
        processor_seconds=sum(stretch.processor_seconds for stretch in stretches),
        other_processor_seconds=_sum(stretch.other_processor_seconds for stretch in stretches),
        steal_seconds=_sum(stretch.steal_seconds for stretch in stretches),
        stalled_seconds=_sum(stretch.stalled_seconds for stretch in stretches),
        involuntary_switches=None if None in switches else sum(number or 0 for number in switches),
        load_average=max(loads, default=None),
        throttled_seconds=_sum(stretch.throttled_seconds for stretch in stretches),
        joules=joules,
        energy_source=None if joules is None else stretches[0].energy_source,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value or 0.0 for value in known)
