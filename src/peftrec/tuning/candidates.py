"""What is tuned: each combination's composed settings, its search space, and the settings that are always tried."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hydra import compose
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from pydantic import JsonValue

from peftrec.config.composition import ROOT_CONFIG, composer, prepare_overrides
from peftrec.config.roles import value_of
from peftrec.errors import SettingsError
from peftrec.settings.composition import FILLED_BY_CHOICE, settings_from_composed
from peftrec.settings.run import Settings, settings_from_config, settings_to_config
from peftrec.tuning.combinations import BESIDE, Combination, split_words, words_of
from peftrec.tuning.settings import TuneSettings
from peftrec.tuning.space_files import FoundSpace, SpaceFiles, exists
from peftrec.tuning.spaces import Space, Values

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
    """One combination of methods to be tuned; a strategy alone where nothing is listed beside strategies."""

    combination: Combination
    composed: DictConfig
    """As Hydra composed it with the trials' seed, without Hydra's own node; values that point to others still do."""
    options: Mapping[str, str]
    """Group to option of all methods beside the strategy, listed or not."""
    settings: Settings
    """The same, checked."""
    space: Space
    starts: tuple[Start, ...]

    @property
    def strategy(self) -> str:
        return self.combination.strategy

    @property
    def name(self) -> str:
        return self.combination.name

    @property
    def label(self) -> str:
        return self.combination.label

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
    """Compose and check every combination and its space, before anything is trained.

    Raises SettingsError that names the key, and the file of a space that does not fit.
    """
    with composer() as loader:
        combinations, shared = split_words(words)
        files = SpaceFiles(loader)
        return _labelled([_compose_named(files, each, shared, tuning) for each in combinations])


def _labelled(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with what a report's rows will say of their parts, in the order in which rows say it."""
    classes: dict[str, dict[str, str]] = {}
    for each in candidates:
        for group, option in each.combination.beside.items():
            classes.setdefault(group, {})[option] = type(getattr(each.settings, group)).__name__
    said = words_of(classes)
    found = []
    for each in candidates:
        words = tuple(said[group][option] for group, option in sorted(each.combination.beside.items()))
        found.append(replace(each, combination=replace(each.combination, words=words)))
    return found


def _compose_named(
    files: SpaceFiles, combination: Combination, shared: Sequence[str], tuning: TuneSettings
) -> Candidate:
    """Compose one; a mistake that one of several combinations makes names it."""
    try:
        return _compose(files, combination, shared, tuning)
    except SettingsError as error:
        if not combination.beside:
            raise
        raise SettingsError(f"{combination.name}: {error}") from error


def _compose(files: SpaceFiles, combination: Combination, shared: Sequence[str], tuning: TuneSettings) -> Candidate:
    words = [*combination.overrides, *shared, f"seed={tuning.trial_seed}"]
    whole = compose(ROOT_CONFIG, overrides=prepare_overrides(words, is_sweep=False), return_hydra_config=True)
    settings = settings_from_composed(whole)
    composed = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    OmegaConf.update(composed, FILLED_BY_CHOICE, combination.strategy, force_add=True)
    fixed = {word.lstrip("+").partition("=")[0] for word in shared}
    without_tower = {f"learning_rates.{kind}" for kind in _without_tower(settings)}
    found = files.find(combination, settings)
    candidate = Candidate(
        combination=combination,
        composed=composed,
        options={group: str(whole.hydra.runtime.choices[group]) for group in BESIDE},
        settings=settings,
        space=found.space.without(fixed | without_tower),
        starts=(),
    )
    _check_space(candidate, found)
    return replace(candidate, starts=tuple(_starts(files.loader, candidate, fixed, found)))


def _without_tower(settings: Settings) -> set[str]:
    """Return which of titles and images no tower takes the rate of."""
    read = {kind for name, kind in settings.towers.readers.items() if name not in settings.learning_rates.others}
    features = {name for name in settings.towers.parts if name not in settings.towers.readers}
    return {"text", "image"} - read - features


def _check_space(candidate: Candidate, found: FoundSpace) -> None:
    """Build the settings at every end of every dimension, so that a space that does not fit fails now."""
    for key, dimension in candidate.space.dimensions.items():
        for value in dimension.ends():
            _check(candidate, {key: value}, found.place(f"space.{key}"))


def _check(candidate: Candidate, changes: Values, place: str) -> Settings:
    try:
        return candidate.changed(changes)
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}") from error


def _starts(loader: ConfigLoader, candidate: Candidate, fixed: set[str], found: FoundSpace) -> list[Start]:
    """Return the defaults, the published rates where there are some, and what the files of spaces add, each once."""
    named: dict[str, Values] = {DEFAULTS: {}}
    if exists(loader, f"{PUBLISHED}/{candidate.strategy}"):
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
        settings = _check(candidate, changes, found.place(f"starts.{name}"))
        if settings not in tried:
            tried.append(settings)
            starts.append(Start(name=name, changes=changes))
    return starts
