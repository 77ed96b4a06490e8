"""The one door for code of the user's own: folders that the command line names, `code=DIR` or `--config-dir DIR`.

A configuration names classes by import path, and a record is a configuration that may come from anywhere. So a class
outside this package is imported only from a folder that whoever gives the command has named. What is imported is the
text that was read when the run was named, whatever has been written into the file since.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, ConfigDict, Field

from peftrec.code.places import PACKAGE, PACKAGE_FOLDER, SourceFile, Sources
from peftrec.errors import OwnCodeError, SettingsError


class UserCode(BaseModel):
    """What a process needs to run the user's code as the process did that started it; plain data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code_folders: tuple[str, ...] = ()
    config_folders: tuple[str, ...] = ()
    """Folders whose groups of yaml files stand beside those of this package."""
    read: dict[str, tuple[str, bool, str]] = Field(default_factory=dict)
    """Module to its path, whether it is a package, and its text."""


class _Door:
    """What this process may import. There is one, as there is one `sys.modules`."""

    def __init__(self) -> None:
        self.sources = Sources()
        self.config_folders: tuple[Path, ...] = ()


_door = _Door()


def open_door(*, code: Sequence[str] = (), config: Sequence[str] = ()) -> None:
    """Let classes of these folders be imported, and yaml files of `config` be chosen, from now on.

    Raises SettingsError where a folder is not there, or would take the place of the whole configuration.
    """
    for folder in (*code, *config):
        if not Path(folder).is_dir():
            raise SettingsError(f"{folder}: no such folder; name the one that holds your code")
    config_folders = tuple(Path(folder).resolve() for folder in config)
    for path in config_folders:
        if (path / "config.yaml").exists():
            raise SettingsError(f"{path / 'config.yaml'}: would replace the root of the configuration; rename it")
    folders = (*(Path(folder).resolve() for folder in code), *config_folders)
    _install(Sources(folders=tuple(dict.fromkeys(folders))), config_folders)


def sources() -> Sources:
    """Return where this process finds source."""
    return _door.sources


def config_folders() -> tuple[Path, ...]:
    """Return the user's folders of yaml files."""
    return _door.config_folders


@contextmanager
def without_config_folders() -> Iterator[None]:
    """Compose from the package's own yaml files, as a command does that names no folder."""
    folders = _door.config_folders
    _door.config_folders = ()
    try:
        yield
    finally:
        _door.config_folders = folders


def remember_package() -> None:
    """Read all modules of this package now, so that what is fingerprinted later is what is loaded from here on."""
    for module in package_modules():
        _door.sources.find(module)


def package_modules(*, without: Collection[str] = ()) -> list[str]:
    """Return the names of this package's modules but those of some rooms and scripts."""
    found = []
    for path in sorted(PACKAGE_FOLDER.rglob("*.py")):
        parts = path.relative_to(PACKAGE_FOLDER.parent).with_suffix("").parts
        if parts[-1] != "__main__" and not set(parts[1:2]) & set(without):
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def check_package_unchanged() -> None:
    """Raise SettingsError where a module is no longer what was remembered."""
    for module, file in _door.sources.read.items():
        if file.path.is_file() and file.path.read_bytes() != file.content:
            raise SettingsError(f"{file.path}: {module} changed while it was loaded; give the command again")


def loaded() -> set[str]:
    """Return the modules of the user's that this process has imported."""
    return {name for name, module in sys.modules.items() if isinstance(getattr(module, "__loader__", None), _Loader)}


def hand_over() -> UserCode:
    """Return what another process needs to import the same text."""
    found = _door.sources
    return UserCode(
        code_folders=tuple(map(str, found.folders)),
        config_folders=tuple(map(str, _door.config_folders)),
        read={
            name: (str(file.path), file.is_package, file.content.decode("utf-8", "surrogateescape"))
            for name, file in found.of_user().items()
        },
    )


def take_over(code: UserCode) -> None:
    """Import what `hand_over` returned in the process that started this one."""
    of_package = {name: file for name, file in _door.sources.read.items() if name.partition(".")[0] == PACKAGE}
    of_user = {
        name: SourceFile(path=Path(path), content=text.encode("utf-8", "surrogateescape"), is_package=is_package)
        for name, (path, is_package, text) in code.read.items()
    }
    folders = tuple(Path(folder) for folder in code.code_folders)
    _install(Sources(folders=folders, read=of_package | of_user), tuple(Path(folder) for folder in code.config_folders))


def require(target: str, key: str) -> None:
    """Raise SettingsError unless the class that `key` names may be imported: OwnCodeError where the folder that holds
    it has to be named. Nothing is imported here."""
    top = target.partition(".")[0]
    if top == PACKAGE:
        return
    if (other := _door.sources.taken(target)) is not None:
        raise SettingsError(f"{key}: {target}: a module {top} is installed already ({other}); rename yours")
    if not _door.sources.owns(target):
        raise OwnCodeError(
            f"{key}: {target} is no class of {PACKAGE}, and classes of others are imported only from a folder that the "
            f"command names: add code=DIR, where DIR holds {top}.py or {top}/"
        )


def _install(found: Sources, folders: tuple[Path, ...]) -> None:
    for name in loaded():  # of other folders than now
        del sys.modules[name]
    _door.sources, _door.config_folders = found, folders
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds modules of the user's folders under names that are nobody else's: a `lightning.py` there is not seen."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _door.sources.folders or not _door.sources.owns(fullname):
            return None
        file = _door.sources.find(fullname)
        if file is None:
            return None
        spec = ModuleSpec(fullname, _Loader(file), origin=str(file.path), is_package=file.is_package)
        spec.has_location = True
        return spec


class _Loader(SourceLoader):
    """Compiles the text that was read."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file

    def get_filename(self, fullname: str) -> str:
        return str(self.file.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.file.content
