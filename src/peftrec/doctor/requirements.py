"""What this distribution says that it needs: a checkout by its project file, an installed wheel by its metadata.

A checkout that was installed to be edited keeps the metadata of the day when it was installed, and a later one may need
more.
"""

import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "peftrec"
PROJECT_FILE = Path(__file__).resolve().parents[3] / "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What is needed, as metadata of a distribution say it."""

    python: str
    requirements: tuple[str, ...]
    """Those of extras with a marker: `lmdb>=1.6; extra == "lmdb"`."""
    extras: tuple[str, ...]

    def is_same(self, other: "Requirements") -> bool:
        """Say whether both need the same, however it is spelt."""
        return self._normal() == other._normal()

    def _normal(self) -> tuple[str, set[str], set[str]]:
        parsed = map(Requirement, self.requirements)
        needed = {f"{canonicalize_name(each.name)} {each.specifier} {each.marker}" for each in parsed}
        return self.python, needed, {*map(canonicalize_name, self.extras)}


def needed(project_file: Path = PROJECT_FILE) -> Requirements:
    """Return what is needed."""
    return _of_checkout(project_file) or _of_metadata()


def is_stale(project_file: Path = PROJECT_FILE) -> bool:
    """Say whether what is installed is a checkout of earlier requirements."""
    checkout = _of_checkout(project_file)
    return checkout is not None and not checkout.is_same(_of_metadata())


def _of_metadata() -> Requirements:
    about = metadata.metadata(DISTRIBUTION)
    return Requirements(
        python=about["Requires-Python"] or "",
        requirements=tuple(metadata.requires(DISTRIBUTION) or ()),
        extras=tuple(about.get_all("Provides-Extra") or ()),
    )


def _of_checkout(project_file: Path) -> Requirements | None:
    if not project_file.is_file():
        return None
    project = tomllib.loads(project_file.read_text(encoding="utf-8")).get("project", {})
    if project.get("name") != DISTRIBUTION:  # what stands there is another program's
        return None
    optional = project.get("optional-dependencies", {})
    return Requirements(
        python=project["requires-python"],
        requirements=(
            *project["dependencies"],
            *(_of_extra(text, extra) for extra, texts in optional.items() for text in texts),
        ),
        extras=tuple(optional),
    )


def _of_extra(text: str, extra: str) -> str:
    base, semicolon, marker = text.partition(";")
    return f"{base}; ({marker}) and extra == '{extra}'" if semicolon else f"{base}; extra == '{extra}'"
