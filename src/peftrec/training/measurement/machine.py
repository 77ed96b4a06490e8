"""What the machine did while something was measured, by the kernel's own counters: two reads, and nothing in between.

A wall time alone does not say whether it is the program's. The time of other programs, steal, and tasks that waited for
a processor do; each is a witness that the platform may lack, and is null then.
"""

import os
import platform
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from peftrec.processes import ALONE, ProcessRank
from peftrec.results.costs import MachineUse
from peftrec.training.measurement.energy import Meter, find_meter

ROOT = Path("/")
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of /proc/stat; guests are in user already (proc(5))
_STEAL = 7
_PARENT, _TIMES = 1, slice(11, 15)  # of /proc/PID/stat behind the name: ppid; utime, stime, cutime, cstime
_MICROSECONDS = 1e-6

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What has been counted up to a moment, or between two; seconds."""

    own: float
    machine: float | None
    steal: float | None
    stalled: float | None
    switches: int | None
    throttled: float | None = None
    joules: float | None = None

    def since(self, earlier: "Counters") -> "Counters":
        """Return what was counted from `earlier` on."""
        return Counters(
            own=max(self.own - earlier.own, 0.0),  # a child that somebody else waited for takes its time along
            machine=_difference(self.machine, earlier.machine),
            steal=_difference(self.steal, earlier.steal),
            stalled=_difference(self.stalled, earlier.stalled),
            switches=_difference(self.switches, earlier.switches),
            throttled=_difference(self.throttled, earlier.throttled),
            joules=_difference(self.joules, earlier.joules),
        )


class MachineWatch:
    """Looks at the machine at the start and at the end of a stretch of time. It never looks inside."""

    def __init__(
        self, device: torch.device | None = None, processes: ProcessRank = ALONE, *, root: Path = ROOT
    ) -> None:
        """`device` is where the work is done, whose energy is read; every one of `processes` calls both methods."""
        self.processes = processes
        self.root = root
        self.meter: Meter | None = find_meter(device, root=root, is_first=processes.local_rank == 0)
        self._started: Counters | None = None

    def start(self) -> None:
        """Begin, or begin anew."""
        self._started = self._count()

    def read(self) -> MachineUse:
        """Return what happened since the start, of all processes together."""
        assert self._started is not None, "start() comes first"
        counted = self._count().since(self._started)
        source = None if self.meter is None else self.meter.source
        here = _Place(host=platform.node(), counters=counted, load=_load_average(), source=source)
        return summed(self.processes.collected(here))

    def _count(self) -> Counters:
        usage, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        machine, steal = machine_seconds(self.root)
        own = sum(each.ru_utime + each.ru_stime for each in (usage, ended)) + children_seconds(self.root)
        return Counters(
            own=own,
            machine=machine,
            steal=steal,
            stalled=stalled_seconds(self.root),
            switches=usage.ru_nivcsw,
            throttled=None if self.meter is None else self.meter.throttled_seconds(),
            joules=None if self.meter is None else self.meter.joules(),
        )


@dataclass(frozen=True, kw_only=True)
class _Place:
    host: str
    counters: Counters
    load: float | None
    source: str | None


def summed(places: Sequence[_Place]) -> MachineUse:
    """Put together what the processes of a run saw: those of one host see the same machine."""
    by_host: dict[str, list[_Place]] = {}
    for place in places:
        by_host.setdefault(place.host, []).append(place)
    machines = [
        max((place.counters for place in those), key=lambda each: each.machine or 0) for those in by_host.values()
    ]
    own = sum(place.counters.own for place in places)
    busy = _sum_of_all([machine.machine for machine in machines])
    stalled = [machine.stalled for machine in machines if machine.stalled is not None]
    joules = [place.counters.joules for place in places if place.counters.joules is not None]
    throttled = [place.counters.throttled for place in places if place.counters.throttled is not None]
    switches = [place.counters.switches for place in places if place.counters.switches is not None]
    loads = [place.load for place in places if place.load is not None]
    sources = {place.source for place in places if place.source is not None}
    return MachineUse(
        processor_seconds=own,
        other_processor_seconds=None if busy is None else max(busy - own, 0.0),  # the kernel's ticks are coarser
        steal_seconds=_sum_of_all([machine.steal for machine in machines]),
        stalled_seconds=max(stalled, default=None),
        involuntary_switches=sum(switches) if switches else None,
        load_average=max(loads, default=None),
        throttled_seconds=max(throttled, default=None),
        joules=sum(joules) if joules else None,
        energy_source=next(iter(sources)) if joules and len(sources) == 1 else None,  # type: ignore[arg-type]
    )


def machine_seconds(root: Path = ROOT) -> tuple[float | None, float | None]:
    """Return how long all processors together have been busy, and how long they were taken away by the host."""
    text = _text(root / "proc/stat")
    if text is None:
        return None, None
    ticks = [int(value) for value in text.split("\n", 1)[0].split()[1:]]
    second = os.sysconf("SC_CLK_TCK")
    return sum(ticks[place] for place in _BUSY) / second, ticks[_STEAL] / second


def stalled_seconds(root: Path = ROOT) -> float | None:
    """Return how long some task has waited for a processor, of all that the kernel knows."""
    text = _text(root / "proc/pressure/cpu")
    if text is None:
        return None
    some = next(line for line in text.splitlines() if line.startswith("some "))
    return int(some.rsplit("total=", 1)[1]) * _MICROSECONDS


def children_seconds(root: Path = ROOT) -> float:
    """Return the processor time of the processes that this one has started and not yet waited for, such as a loader's
    workers, with their own children; 0 where no /proc tells."""
    ticks = 0
    for file in (root / "proc").glob("[0-9]*/stat"):
        text = _text(file)  # a process may end meanwhile
        if text is None:
            continue
        fields = text.rsplit(")", 1)[1].split()  # the name before may hold anything
        if int(fields[_PARENT]) == os.getpid():
            ticks += sum(int(value) for value in fields[_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # not there, or not for us: pressure may be switched off, a process may have ended
        return None


def _difference(now: Number | None, before: Number | None) -> Number | None:
    """Return what was counted between; null where a counter went back, as steal does when a host moves a machine."""
    return None if now is None or before is None or now < before else now - before


def _sum_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
