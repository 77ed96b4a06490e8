"""From the command line to the checked settings of a run."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from peftrec.config.composition import ROOT_CONFIG, composer, prepare_overrides
from peftrec.config.hydra_node import check_node
from peftrec.config.taken_away import explaining_taken_away
from peftrec.config.unknown_keys import UnknownKeysError, explain_unknown
from peftrec.errors import SettingsError, nearest_name
from peftrec.settings.best_settings import check_best_settings
from peftrec.settings.other_options import options_with
from peftrec.settings.run import Settings, settings_from_config
from peftrec.settings.synonyms import in_our_words, refuse_values_of_others

FILLED_BY_CHOICE = "strategy_name"


def compose_settings(overrides: Sequence[str], *, config_dir: Path | None = None) -> Settings:
    """Compose one run. Raises SettingsError that names the key, what stands there and what is expected."""
    with composer(config_dir):
        prepared = prepare_overrides(overrides, is_sweep=False)
        return settings_from_composed(compose(ROOT_CONFIG, overrides=prepared, return_hydra_config=True))


def settings_from_composed(config: DictConfig) -> Settings:
    """Check a composed config that still holds Hydra's own node, which knows the strategy's name."""
    if FILLED_BY_CHOICE in config:
        raise SettingsError(f"{FILLED_BY_CHOICE} is filled in from the choice of strategy; remove it")
    check_node(config)
    check_best_settings(config.hydra.runtime.choices)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    words: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)  # as they were given
    with explaining_taken_away(words):
        return _checked(own, config.hydra.runtime.choices)


def _checked(own: DictConfig, choices: DictConfig) -> Settings:
    plain: dict[str, Any] = OmegaConf.to_container(own, resolve=True)  # type: ignore[assignment]
    refuse_values_of_others(plain.get("trainer"))
    try:
        return settings_from_config({**plain, FILLED_BY_CHOICE: choices.strategy})
    except UnknownKeysError as error:
        known = {*error.known, *choices}
        raise SettingsError(explain_unknown(error.unknown, error.known, partial(_answer, known))) from error


def _answer(known: Collection[str], word: str, value: Any) -> str | None:
    """Return what to write for a word of other programs, or for a key that other options of its group have; None where
    neither helps."""
    instead = in_our_words(word, value)
    first = (instead or "").partition("=")[0]
    if first in known or " " in first:
        return instead
    group, _, name = word.partition(".")
    if not name or not (others := options_with(word)):
        return None
    near = nearest_name(name, [key.removeprefix(f"{group}.") for key in known if key.startswith(f"{group}.")])
    other = f"{group}=NAME beside it, of those that have it: {', '.join(others)}"
    return other if near is None else f"{group}.{near}, or {other}"
