"""What code and which libraries decide a result, as hashes by module and versions by package."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version

from peftrec.code.canonical import source_digest
from peftrec.code.places import Sources
from peftrec.code.reach import reached
from peftrec.errors import shortlist

SHOW_AND_START = frozenset(
    {
        *("cli", "code", "config", "devices", "errors", "files", "jobs"),
        *("outputs", "progress", "results", "settings", "trackers"),
    }
)
"""Rooms that decide no figure: how a command is read, where it runs, what is said and how it is kept. What settings say
is in a run's name by value."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Code and libraries; two are equal where they are the same in what they do."""

    modules: Mapping[str, str]
    """Module to the hash of its source without comments and docstrings."""
    versions: Mapping[str, str]
    """Package to its version, without the local part that names a build (`+cpu`)."""

    @cached_property
    def digest(self) -> str:
        """One hash of all."""
        content = json.dumps({"modules": dict(self.modules), "versions": dict(self.versions)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def differences(self, other: "Fingerprint") -> str:
        """Say which modules and versions are not those of `other`, `other`'s first; empty where all are."""
        versions = [
            f"{package} {other.versions.get(package, 'absent')} -> {self.versions.get(package, 'absent')}"
            for package in sorted({*self.versions, *other.versions})
            if self.versions.get(package) != other.versions.get(package)
        ]
        modules = [
            module
            for module in sorted({*self.modules, *other.modules})
            if self.modules.get(module) != other.modules.get(module)
        ]
        return "; ".join(filter(None, [shortlist(modules), ", ".join(versions)]))

    def explain(self, former: "Fingerprint") -> str:
        """Say why what `former` computed is not taken."""
        return f"computed by other code ({self.differences(former)}), so it is computed anew"


def take_fingerprint(roots: Iterable[str], packages: Iterable[str], sources: Sources) -> Fingerprint:
    """Fingerprint what `roots` reach by import, and the versions of `packages`.

    Raises SettingsError for source that Python cannot read.
    """
    found = reached(roots, sources, without=SHOW_AND_START)
    modules = {name: source_digest(file.content) for name, file in sorted(found.items()) if file.content.strip()}
    return Fingerprint(modules=modules, versions={name: public_version(name) for name in packages})


@cache
def public_version(package: str) -> str:
    """Return a package's version without the local part, which names a build and not a release; of a process that runs
    on, the one that it began with."""
    return version(package).partition("+")[0]
