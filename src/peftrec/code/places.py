"""Where the source of a module is: in this package, or below a folder of the user's own code."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
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
    elsewhere: dict[str, str | None] = field(default_factory=dict)
    """Where names lie besides the folders, as far as it was asked."""

    def find(self, module: str) -> SourceFile | None:
        """Return the source of a module of this package or of the user's folders; None for any other."""
        if module not in self.read:
            found = _look_up(module, self._roots(module))
            if found is None:
                return None
            self.read[module] = found
        return self.read[module]

    def owns(self, module: str) -> bool:
        """Say whether a user's folder holds the top level of a module, and nobody else does."""
        top = module.partition(".")[0]
        return top != PACKAGE and self.find(top) is not None

    def taken(self, module: str) -> str | None:
        """Return where a module's top level lies that a user's folder holds too; None where nobody else has it."""
        top = module.partition(".")[0]
        return self._elsewhere(top) if _look_up(top, self.folders) is not None else None

    def _elsewhere(self, top: str) -> str | None:
        if top not in self.elsewhere:
            self.elsewhere[top] = _origin_besides(top, self.folders)
        return self.elsewhere[top]

    def of_user(self) -> Mapping[str, SourceFile]:
        """Return what was read of the user's folders."""
        return {name: file for name, file in self.read.items() if name.partition(".")[0] != PACKAGE}

    def _roots(self, module: str) -> tuple[Path, ...]:
        top = module.partition(".")[0]
        if top == PACKAGE:
            return (PACKAGE_FOLDER.parent,)
        return self.folders if self.folders and self._elsewhere(top) is None else ()


def _look_up(module: str, roots: tuple[Path, ...]) -> SourceFile | None:
    for root in roots:
        place = root.joinpath(*module.split("."))
        for path, is_package in ((place / "__init__.py", True), (place.with_suffix(".py"), False)):
            if path.is_file():
                return SourceFile(path=path, content=path.read_bytes(), is_package=is_package)
        if place.is_dir() and any(place.glob("*.py")):
            return SourceFile(path=place, content=b"", is_package=True)  # a package without __init__.py
    return None


def _origin_besides(top: str, folders: tuple[Path, ...]) -> str | None:
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return "Python's own"
    spec = PathFinder.find_spec(top)
    if spec is None:
        return None
    others = (place for place in _places(spec) if not any(Path(place).is_relative_to(folder) for folder in folders))
    return next(others, None)


def _places(spec: ModuleSpec) -> Iterator[str]:
    """Yield where a module is; one without a file of its own, such as `hydra_plugins`, is where its modules are."""
    if spec.origin is not None:
        yield spec.origin
    else:
        yield from (place for place in spec.submodule_search_locations or () if any(Path(place).rglob("*.py")))
