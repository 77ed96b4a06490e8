"""peftrec compares adaptation strategies for multimodal sequential recommendation.

What is imported from here is the Python API, and stays. All else is how it is made, and may change.

    from peftrec import compare, compose, load_run, train

Nothing is imported before it is asked for: `import peftrec` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peftrec.api.comparing import ComparedRuns, compare
    from peftrec.api.composing import compose
    from peftrec.api.loading import load_run
    from peftrec.api.training import train
    from peftrec.errors import CheckpointError, DataError, RecordError, SettingsError, StoreError, UserError
    from peftrec.results.run_summary import RunSummary
    from peftrec.serving.loaded_run import EncodedItems, LoadedRun
    from peftrec.settings.run import Settings

__version__ = "0.1.0"
__all__ = [
    "CheckpointError",
    "ComparedRuns",
    "DataError",
    "EncodedItems",
    "LoadedRun",
    "RecordError",
    "RunSummary",
    "Settings",
    "SettingsError",
    "StoreError",
    "UserError",
    "compare",
    "compose",
    "load_run",
    "train",
]

_MODULES = {
    "api.comparing": ("ComparedRuns", "compare"),
    "api.composing": ("compose",),
    "api.loading": ("load_run",),
    "api.training": ("train",),
    "errors": ("CheckpointError", "DataError", "RecordError", "SettingsError", "StoreError", "UserError"),
    "results.run_summary": ("RunSummary",),
    "serving.loaded_run": ("EncodedItems", "LoadedRun"),
    "settings.run": ("Settings",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
