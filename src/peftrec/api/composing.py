"""`peftrec.compose`: the settings of a run from words, as the command line has them."""

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from peftrec.code.user_code import open_door, without_config_folders
from peftrec.config.composition import SweepError
from peftrec.errors import SettingsError
from peftrec.serving.given import WORDS, given_path, given_texts
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings

Folder = str | Path


def compose(overrides: Iterable[str] = (), *, config_dir: Folder | None = None, code: Folder | None = None) -> Settings:
    """Return the checked settings of one run, as `peftrec train OVERRIDES` would train it.

        compose(["strategy=lora", "strategy.rank=4", "trainer.max_epochs=2"])

    `config_dir` is `--config-dir`: its yaml files stand beside the package's own, and classes of its Python files may
    be named. `code` is `code=`: classes alone. Their code runs, so name only folders that you trust. They stay open for
    `train` and `load_run` until another call names others. Nothing slow is imported.

    Raises SettingsError with the message of the command line; for several values too, which are several runs.
    """
    words = given_texts("overrides", overrides, WORDS)
    if options := [word for word in words if word.startswith("-")]:
        raise SettingsError(
            f"{options[0]}: an option of the command line, and compose takes KEY=VALUE alone, for the settings of one "
            "run: call it once for each run, and name folders by config_dir= and code="
        )
    open_folders(config_dir, code)
    try:
        with nullcontext() if config_dir is not None else without_config_folders():
            return compose_settings(words)
    except SweepError as error:
        raise SettingsError(
            f"{error.word}: several values make several runs, and compose makes the settings of one: call it once for "
            f"each value{error.otherwise}"
        ) from error


def open_folders(config_dir: Folder | None, code: Folder | None) -> None:
    """Let classes of the folders be imported, in place of those that were named before; none named changes nothing."""
    if config_dir is not None or code is not None:
        open_door(
            code=[] if code is None else [str(given_path("code", code, 'code="parts"'))],
            config=[] if config_dir is None else [str(given_path("config_dir", config_dir, 'config_dir="parts"'))],
        )
