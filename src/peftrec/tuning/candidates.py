"""What is tuned: each strategy's composed settings, its search space, and the settings that are always tried."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from pydantic import JsonValue

from peftrec.config.composition import ROOT_CONFIG, composer, prepare_overrides
from peftrec.config.roles import value_of
from peftrec.errors import SettingsError
from peftrec.settings.composition import FILLED_BY_CHOICE, settings_from_composed
from peftrec.settings.run import Settings, settings_from_config, settings_to_config
from peftrec.tuning.default_space import default_space
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.spaces import Space, Values, read_space

STRATEGY = "strategy"
SEARCH = "search"
PUBLISHED = "learning_rates/paper"
DEFAULTS = "defaults"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Settings that are tried whatever the sampler draws."""

    name: str
    changes: Values
    """What they change in the settings that the trials share."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One strategy to be tuned."""

    strategy: str
    composed: DictConfig
    """As Hydra composed it with the trials' seed, without Hydra's own node; values that point to others still do."""
    settings: Settings
    """The same, checked."""
    space: Space
    starts: tuple[Start, ...]

    def changed(self, changes: Mapping[str, JsonValue]) -> Settings:
        """Return the settings with some values changed. Raises SettingsError as composing does."""
        config = copy.deepcopy(self.composed)
        for key, value in changes.items():
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        return settings_from_config(cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True)))

    def values_of(self, changes: Mapping[str, JsonValue]) -> Values:
        """Return the value of each tuned key where some values are changed."""
        config = settings_to_config(self.changed(changes))
        return {key: value_of(config, key) for key in self.space.dimensions}


def compose_candidates(words: Sequence[str], tuning: TuneSettings) -> list[Candidate]:
    """Compose and check every strategy and its space, before anything is trained.

    Raises SettingsError that names the key, and the file of a space that does not fit.
    """
    with composer() as loader:
        strategies, shared = split_strategies(words)
        return [_compose(loader, strategy, shared, tuning) for strategy in strategies]


def split_strategies(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the strategies that `strategy=a,b` names, and the other words. Raises SettingsError where none is named,
    and for another key with several values: what is tried is what the spaces say."""
    strategies: list[str] = []
    others = []
    for word in words:
        key = word.partition("=")[0]
        if key == STRATEGY:
            strategies += [name.strip() for name in word.partition("=")[2].split(",")]
        elif key == "seed":
            raise SettingsError(f"{word}: a tuning has trial_seed=N for its trials and final_seeds=1,2,3 for the rest")
        elif OverridesParser.create().parse_overrides([word])[0].is_sweep_override():
            raise SettingsError(f"{word}: give {key} one value; what a tuning tries is said in search/STRATEGY.yaml")
        else:
            others.append(word)
    if not strategies:
        raise SettingsError("strategy is required: name what is tuned, as strategy=full,lora,iisan_cached")
    if twice := [name for name in strategies if strategies.count(name) > 1]:
        raise SettingsError(f"strategy: {twice[0]} is named twice")
    return strategies, others


def _compose(loader: ConfigLoader, strategy: str, shared: Sequence[str], tuning: TuneSettings) -> Candidate:
    words = [f"{STRATEGY}={strategy}", *shared, f"seed={tuning.trial_seed}"]
    whole = compose(ROOT_CONFIG, overrides=prepare_overrides(words, is_sweep=False), return_hydra_config=True)
    settings = settings_from_composed(whole)
    composed = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    OmegaConf.update(composed, FILLED_BY_CHOICE, strategy, force_add=True)
    fixed = {word.lstrip("+").partition("=")[0] for word in shared}
    without_tower = {f"learning_rates.{kind}" for kind in _without_tower(settings)}
    space, origin = _space_of(loader, strategy, settings)
    candidate = Candidate(
        strategy=strategy, composed=composed, settings=settings, space=space.without(fixed | without_tower), starts=()
    )
    _check_space(candidate, origin)
    starts = _starts(loader, candidate, fixed, origin)
    return Candidate(
        strategy=strategy, composed=composed, settings=settings, space=candidate.space, starts=tuple(starts)
    )


def _without_tower(settings: Settings) -> set[str]:
    """Return which of titles and images no tower takes the rate of."""
    read = {kind for name, kind in settings.towers.readers.items() if name not in settings.learning_rates.others}
    features = {name for name in settings.towers.parts if name not in settings.towers.readers}
    return {"text", "image"} - read - features


def _space_of(loader: ConfigLoader, strategy: str, settings: Settings) -> tuple[Space, str]:
    """Return the strategy's space, and the file that it is read from."""
    name = f"{SEARCH}/{strategy}"
    if not _exists(loader, name):
        return default_space(settings), f"the default space of {strategy}"
    node = compose(name)
    for group in name.split("/")[:-1]:
        node = node[group]
    return read_space(
        cast("dict[str, Any]", OmegaConf.to_container(node, resolve=True)), f"{name}.yaml"
    ), f"{name}.yaml"


def _exists(loader: ConfigLoader, name: str) -> bool:
    group, _, option = name.rpartition("/")
    return option in loader.get_group_options(group)


def _check_space(candidate: Candidate, origin: str) -> None:
    """Build the settings at every end of every dimension, so that a space that does not fit fails now."""
    for key, dimension in candidate.space.dimensions.items():
        for value in dimension.ends():
            _check(candidate, {key: value}, f"{origin}: space.{key}")


def _check(candidate: Candidate, changes: Values, place: str) -> Settings:
    try:
        return candidate.changed(changes)
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}") from error


def _starts(loader: ConfigLoader, candidate: Candidate, fixed: set[str], origin: str) -> list[Start]:
    """Return the defaults, the published rates where there are some, and what the space's file adds, each once."""
    named: dict[str, Values] = {DEFAULTS: {}}
    if _exists(loader, f"{PUBLISHED}/{candidate.strategy}"):
        composed = compose(
            ROOT_CONFIG, overrides=[f"learning_rates={PUBLISHED.partition('/')[2]}/{candidate.strategy}"]
        )
        rates = cast("dict[str, JsonValue]", OmegaConf.to_container(composed.learning_rates))
        named["published rates"] = {
            f"learning_rates.{name}": value for name, value in rates.items() if f"learning_rates.{name}" not in fixed
        }
    named |= candidate.space.starts
    starts: list[Start] = []
    tried: list[Settings] = []
    for name, changes in named.items():
        settings = _check(candidate, changes, f"{origin}: starts.{name}")
        if settings not in tried:
            tried.append(settings)
            starts.append(Start(name=name, changes=changes))
    return starts
