"""`peftrec.compose`: the settings of a run from words, as the command line has them."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from peftrec.code.user_code import open_door, without_config_folders
from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings

Folder = str | Path


def compose(overrides: Sequence[str] = (), *, config_dir: Folder | None = None, code: Folder | None = None) -> Settings:
    """Return the checked settings of one run, as `peftrec train OVERRIDES` would train it.

        compose(["strategy=lora", "strategy.rank=4", "trainer.max_epochs=2"])

    `config_dir` is `--config-dir`: its yaml files stand beside the package's own, and classes of its Python files may
    be named. `code` is `code=`: classes alone. Their code runs, so name only folders that you trust. They stay open for
    `train` and `load_run` until another call names others. Nothing slow is imported.

    Raises SettingsError with the message of the command line.
    """
    if isinstance(overrides, str):
        raise SettingsError(f"overrides: expected a list of texts, found one text: write [{overrides!r}]")
    open_folders(config_dir, code)
    with nullcontext() if config_dir is not None else without_config_folders():
        return compose_settings(overrides)


def open_folders(config_dir: Folder | None, code: Folder | None) -> None:
    """Let classes of the folders be imported, in place of those that were named before; none named changes nothing."""
    if config_dir is not None or code is not None:
        open_door(
            code=[] if code is None else [str(code)],
            config=[] if config_dir is None else [str(config_dir)],
        )
