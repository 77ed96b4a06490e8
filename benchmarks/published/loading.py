"""The modules of a checkout of the published IISAN code, imported as they are and kept apart from everything else.

Its folders `Code_Cached` and `Code_Uncached` each hold top-level packages of the same names. They are imported with
the folder at the head of the path, and then taken out of `sys.modules`. Their data sets import torchvision and lmdb,
which the benchmark never calls: where they are not installed, a stand-in that fails at the first use is imported.
"""

import importlib
import importlib.util
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, NoReturn

Variant = Literal["Code_Cached", "Code_Uncached"]

_OWN = ("model", "data_utils", "parameters")
_NEVER_CALLED = {"torchvision": ("transforms",), "lmdb": ()}


class CannotRunError(Exception):
    """A case that one side cannot run here; the message is the reason that the table prints."""


class NotACheckoutError(Exception):
    """The folder holds no checkout of the published code."""


@dataclass(frozen=True, kw_only=True)
class PublishedCode:
    """One variant's modules."""

    model: ModuleType
    metrics: ModuleType
    dataset: ModuleType
    parameters: ModuleType

    def arguments(self, **changes: object) -> Namespace:
        """Return the defaults of its command line with changes."""
        command, sys.argv = sys.argv, ["run.py"]
        try:
            arguments = self.parameters.parse_args()
        finally:
            sys.argv = command
        unknown = sorted(set(changes) - set(vars(arguments)))
        if unknown:
            raise CannotRunError(f"this version of the published code has no option {', '.join(unknown)}")
        vars(arguments).update(changes)
        return arguments


def load_published(checkout: Path, variant: Variant) -> PublishedCode:
    """Import a variant.

    Raises NotACheckoutError.
    """
    folder = checkout / variant
    for part in (folder / "model" / "model.py", folder / "data_utils" / "metrics.py", folder / "parameters.py"):
        if not part.is_file():
            raise NotACheckoutError(f"{part} is missing: name a checkout of the published repository (GAIR-Lab/IISAN)")
    with _importing_from(folder):
        return PublishedCode(
            model=importlib.import_module("model.model"),
            metrics=importlib.import_module("data_utils.metrics"),
            dataset=importlib.import_module("data_utils.dataset"),
            parameters=importlib.import_module("parameters"),
        )


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    before = {name: module for name, module in sys.modules.items() if _is_own(name)}
    for name in before:
        del sys.modules[name]
    stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if _is_own(name) or name in stand_ins]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_own(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in _OWN


class StandIn(ModuleType):
    """An absent library that is imported and never called."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"{self.__name__} is not installed, and the published code uses its {name}")


def _stand_ins() -> dict[str, ModuleType]:
    modules: dict[str, ModuleType] = {}
    for name, parts in _NEVER_CALLED.items():
        if importlib.util.find_spec(name) is None:
            modules[name] = StandIn(name)
            for part in parts:
                modules[f"{name}.{part}"] = StandIn(f"{name}.{part}")
                setattr(modules[name], part, modules[f"{name}.{part}"])
    return modules
