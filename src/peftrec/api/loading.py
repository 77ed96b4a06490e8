"""`peftrec.load_run`: a finished run, ready to be asked."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from peftrec.api.composing import Folder, open_folders
from peftrec.devices import settle_threads
from peftrec.serving.given import RUN, given_path, given_texts

if TYPE_CHECKING:
    from peftrec.serving.loaded_run import LoadedRun


def load_run(
    run: str | Path, overrides: Iterable[str] = (), *, config_dir: Folder | None = None, code: Folder | None = None
) -> "LoadedRun":
    """Load a finished run from its folder, whose hash may be left out where that names one run. Nothing is trained.

        run = load_run("runs/quickstart/iisan_cached-0123456789ab")
        run.recommend(["user00061"], k=10)

    `overrides` say where its data, towers and stores lie now if they were moved: `["data.root=DIR"]`. Checkpoints are
    read as plain tensors, so a run that somebody else made can be loaded; where its record names classes outside this
    package, `config_dir` or `code` must name the folder that holds them, and their code runs (see `compose`).

    Raises RecordError where the run is not finished, or its data or towers are no longer what it was trained on,
    CheckpointError where its parameters cannot be read, DataError where its data is not there, SettingsError for an
    override that is no place.
    """
    folder = given_path("run", run, f"load_run({RUN})")
    places = tuple(given_texts("overrides", overrides, '["data.root=DIR"]'))
    settle_threads_before_torch()
    open_folders(config_dir, code)
    from peftrec.results.named_run import named_run
    from peftrec.serving.loaded_run import LoadedRun

    loaded = LoadedRun(directory=named_run(folder), overrides=places)
    _ = loaded.restored  # now, so that what is wrong is said now
    return loaded


def settle_threads_before_torch() -> None:
    """Compute with the threads that the command line computes with, unless torch was imported already, which has read
    the environment by then: costs of other threads do not compare."""
    if "torch" not in sys.modules:
        settle_threads(os.environ)
