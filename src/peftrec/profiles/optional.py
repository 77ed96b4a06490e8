"""Packages that profiles alone need, imported when they are used."""

from importlib import import_module
from typing import Any

from peftrec.errors import SettingsError


def optional_module(name: str, *, key: str) -> Any:
    """Import a module of the extra. Raises SettingsError that names the choice that needs it, and the extra."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f'{key} needs the package {name.partition(".")[0]}: pip install "peftrec[profiles]"'
        ) from error
