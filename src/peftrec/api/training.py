"""`peftrec.train`: one run, as the command line trains it."""

from typing import TYPE_CHECKING

from peftrec.api.loading import settle_threads_before_torch
from peftrec.errors import SettingsError
from peftrec.settings.run import Settings, settings_from_config, settings_to_config

if TYPE_CHECKING:
    from peftrec.serving.loaded_run import LoadedRun


def train(settings: Settings) -> "LoadedRun":
    """Train a run and return it, in the folder and under the name that `peftrec train` gives it.

        run = train(compose(["strategy=lora", "trainer.max_epochs=2"]))

    A finished run is found again and not trained twice; one that was killed goes on after its last whole epoch. It is
    trained in this process, or in one for each of several devices (`trainer.devices`). Classes of one's own are taken
    from the folders that were named last.

    Raises UserError of the kind that the command line prints, and whatever else ended the training, which its record
    keeps too.
    """
    _refuse_other_than_settings(settings)
    settle_threads_before_torch()
    # As the record will hold them: classes are looked up in the folders that are open now, whose code names the run.
    settings = settings_from_config(settings_to_config(settings))
    from peftrec.jobs.launching import launch
    from peftrec.serving.loaded_run import LoadedRun

    return LoadedRun(directory=launch(settings).run_directory)


def _refuse_other_than_settings(given: object) -> None:
    if not isinstance(given, Settings):
        found = type(given).__name__
        raise SettingsError(f"settings: expected what compose gives, found {found}: write train(compose([...]))")
