"""What is installed, beside what this distribution says that it needs."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from peftrec.doctor.requirements import DISTRIBUTION

FOR_DEVELOPERS = ("dev",)
"""Extras that no verb asks for."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One requirement."""

    name: str
    needed: str
    """`>=2.6`; empty where any version will do."""
    installed: str | None

    @property
    def is_good(self) -> bool:
        return self.installed is not None and SpecifierSet(self.needed).contains(self.installed, prereleases=True)

    def to_text(self) -> str:
        """Return the name with what is there and what is needed."""
        state = "" if self.is_good else "   MISSING" if self.installed is None else "   OTHER VERSION NEEDED"
        return f"{self.name:<24} {self.installed or '-':<16} {self.needed}{state}"


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What some verbs need besides."""

    name: str
    verbs: dict[str, str]
    """Verb to what of it needs the extra."""
    packages: Sequence[Package]

    @property
    def is_installed(self) -> bool:
        return all(package.is_good for package in self.packages)

    @property
    def remedy(self) -> str | None:
        """The line that installs it, where it is missing."""
        return None if self.is_installed else pip_line(f"{DISTRIBUTION}[{self.name}]")

    def to_text(self) -> str:
        """Return what it is for, and how to get it."""
        use = "; ".join(f"{verb}: {what}" for verb, what in self.verbs.items())
        return f"{self.name:<24} {'installed' if self.is_installed else self.remedy:<42} {use}".rstrip()


def pip_line(requirement: str) -> str:
    """Return a command that installs a requirement."""
    return f'pip install "{requirement}"'


def python_package(required: str) -> Package:
    """Return Python as a requirement."""
    return Package(name="python", needed=required, installed=platform.python_version())


def required_packages(requirements: Iterable[str]) -> list[Package]:
    """Return what is needed whatever is done."""
    return [_package(each) for each in map(Requirement, requirements) if _extra_of(each) is None and _applies(each, "")]


def extras(requirements: Iterable[str], names: Iterable[str], uses: Mapping[str, Mapping[str, str]]) -> list[Extra]:
    """Return each extra with its packages; `uses` says, by extra, which verb needs it for what."""
    parsed = [Requirement(each) for each in requirements]
    return [
        Extra(
            name=name,
            verbs=dict(uses.get(name, {})),
            packages=[_package(each) for each in parsed if _extra_of(each) is not None and _applies(each, name)],
        )
        for name in names
        if name not in FOR_DEVELOPERS
    ]


def _package(requirement: Requirement) -> Package:
    try:
        installed: str | None = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        installed = None
    return Package(name=requirement.name, needed=str(requirement.specifier), installed=installed)


def _extra_of(requirement: Requirement) -> str | None:
    marker = str(requirement.marker or "")
    return marker if "extra" in marker else None


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
