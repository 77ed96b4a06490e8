"""What of this installation and machine is good for what, and what is to be done about the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from peftrec import __version__
from peftrec.doctor.machine import Machine, size, this_machine, unused_devices
from peftrec.doctor.packages import (
    Extra,
    Package,
    extras,
    pip_line,
    python_package,
    required_packages,
)
from peftrec.doctor.requirements import is_stale, needed
from peftrec.outputs.safe_text import for_line

STALE = (
    "this checkout was installed with other requirements than it has now, so pip and the peftrec command know those of "
    "then: give `pip install -e .` in it again"
)
LITTLE_ROOM = 2**30
"""Bytes: one run's checkpoints, or half of BERT and ViT from the hub."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at."""

    version: str
    python: Package
    packages: Sequence[Package]
    extras: Sequence[Extra]
    machine: Machine | None
    """Null where torch cannot be imported."""
    problems: Sequence[str]
    """What keeps runs from working, each with its remedy."""
    advice: Sequence[str]
    """What does not, and is worth knowing."""

    @property
    def is_good(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data, sizes in bytes."""
        return {
            **asdict(self),
            "is_good": self.is_good,
            "extras": [
                {**asdict(each), "is_installed": each.is_installed, "remedy": each.remedy} for each in self.extras
            ],
        }

    def to_text(self) -> str:
        """Return the answer, then what it stands on."""
        answer = f"peftrec {self.version} can run here" if self.is_good else f"{len(self.problems)} in the way of runs"
        lines = [answer, *(f"  {each}" for each in self.problems), *(f"  note: {each}" for each in self.advice)]
        lines += ["", "packages", *(f"  {each.to_text()}" for each in (self.python, *self.packages))]
        lines += ["", "extras", *(f"  {each.to_text()}" for each in self.extras)]
        if self.machine is not None:
            lines += ["", *_machine_lines(self.machine)]
        return "".join(f"{for_line(line)}\n" for line in lines)


def diagnose(uses: Mapping[str, Mapping[str, str]]) -> Diagnosis:
    """Look at this installation and machine; `uses` says, by extra, which verb needs it for what."""
    required = needed()
    python = python_package(required.python)
    packages = required_packages(required.requirements)
    found = extras(required.requirements, required.extras, uses)
    problems = [_mending(each) for each in (python, *packages) if not each.is_good]
    machine, advice = None, [STALE] if is_stale() else []
    try:
        machine = this_machine()
    except (ImportError, OSError) as error:  # torch, or a library that it loads
        problems.append(f"torch cannot be imported ({error}); {pip_line('torch')} again")
    if machine is not None:
        problems += _place_problems(machine)
        advice += _advice(machine)
    return Diagnosis(
        version=__version__,
        python=python,
        packages=packages,
        extras=found,
        machine=machine,
        problems=problems,
        advice=advice,
    )


def _mending(package: Package) -> str:
    if package.name == "python":
        return f"python {package.installed}: {package.needed} is needed; make an environment with such a Python"
    there = "is missing" if package.installed is None else f"{package.installed} is installed, {package.needed} needed"
    return f"{package.name} {there}; {pip_line(package.name + package.needed)}"


def _place_problems(machine: Machine) -> list[str]:
    """Runs and temporary files have no other place unless the user names one."""
    runs, temporary, *_ = machine.places
    remedies = {runs: "set runs_dir=DIR", temporary: "set TMPDIR=DIR"}
    return [
        f"{place.folder}: cannot be written; {remedy}" for place, remedy in remedies.items() if not place.is_writable
    ]


def _advice(machine: Machine) -> list[str]:
    _, _, *caches = machine.places
    found = [
        f"{place.folder}: cannot be written, so {place.what} are not kept" for place in caches if not place.is_writable
    ]
    full = [place for place in machine.places if place.free_bytes is not None and place.free_bytes < LITTLE_ROOM]
    found += [f"{place.folder}: {size(place.free_bytes)} are free" for place in full]
    if number := unused_devices():
        found.append(f"{number} NVIDIA devices are visible, but this torch has no CUDA: install torch for your driver")
    if not machine.threads_are_chosen and machine.processors == 1:
        found.append("one processor: runs are slow, and other programs show in their times")
    return found


def _machine_lines(machine: Machine) -> list[str]:
    lines = ["devices"]
    for device in machine.devices:
        memory = "" if device.memory_bytes is None else f", {size(device.memory_bytes)}"
        bfloat = ", bfloat16" if device.computes_bfloat16 else ""
        lines.append(f"  {device.kind:<24} {device.name}{memory}{bfloat}")
    chosen = "OMP_NUM_THREADS" if machine.threads_are_chosen else "all that may be used"
    lines += [
        f"  {'threads':<24} {machine.threads} of {machine.processors} processors ({chosen})",
        f"  {'memory':<24} {size(machine.memory_bytes)}, {size(machine.available_bytes)} available",
        "",
        "folders",
    ]
    for place in machine.places:
        state = f"{size(place.free_bytes)} free" if place.is_writable else "CANNOT BE WRITTEN"
        lines.append(f"  {place.what:<32} {place.folder}   {state}")
    lines += ["", "variables", *(f"  {name:<24} {value}" for name, value in machine.variables.items())]
    return lines if machine.variables else lines[:-2]
