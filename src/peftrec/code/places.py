"""Where the source of a module is: in this package, or below a folder of the user's own code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import peftrec

PACKAGE = "peftrec"
PACKAGE_FOLDER = Path(peftrec.__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A module's file, and its text at the moment when it was read."""

    path: Path
    content: bytes
    is_package: bool


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Finds modules by name. What has been read once stays as it was: files may change while a sweep runs."""

    folders: tuple[Path, ...] = ()
    """Folders of the user's own code, the first first."""
    read: dict[str, SourceFile] = field(default_factory=dict)

    def find(self, module: str) -> SourceFile | None:
        """Return the source of a module of this package or of the user's folders; None for any other."""
        if module not in self.read:
            found = _look_up(module, self._roots(module))
            if found is None:
                return None
            self.read[module] = found
        return self.read[module]

    def owns(self, module: str) -> bool:
        """Say whether a user's folder holds the top level of a module."""
        top = module.partition(".")[0]
        return top != PACKAGE and self.find(top) is not None

    def of_user(self) -> Mapping[str, SourceFile]:
        """Return what was read of the user's folders."""
        return {name: file for name, file in self.read.items() if name.partition(".")[0] != PACKAGE}

    def _roots(self, module: str) -> tuple[Path, ...]:
        return (PACKAGE_FOLDER.parent,) if module.partition(".")[0] == PACKAGE else self.folders


def _look_up(module: str, roots: tuple[Path, ...]) -> SourceFile | None:
    for root in roots:
        place = root.joinpath(*module.split("."))
        for path, is_package in ((place / "__init__.py", True), (place.with_suffix(".py"), False)):
            if path.is_file():
                return SourceFile(path=path, content=path.read_bytes(), is_package=is_package)
        if place.is_dir() and any(place.glob("*.py")):
            return SourceFile(path=place, content=b"", is_package=True)  # a package without __init__.py
    return None
