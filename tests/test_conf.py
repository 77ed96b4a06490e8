"""Every yaml of the configuration folder composes, whatever is added to it."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftrec.config.fields import TARGET
from peftrec.config.folder import config_directory, group_folders
from peftrec.config.roles import Role, roles_of
from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_from_config, settings_to_config
from peftrec.settings.run_identity import part_modules

CONF = config_directory()
OPTIONS = [path.relative_to(CONF) for group in group_folders(CONF) for path in sorted(group.rglob("*.yaml"))]
MINIMUM_STRATEGIES = 5
LONGEST_EXPERIMENT = 30


def choice(option: Path) -> str:
    return f"{option.parts[0]}={Path(*option.parts[1:]).with_suffix('').as_posix()}"


def targets_in(node: Any) -> list[str]:
    """Return the classes that a configuration names."""
    if not isinstance(node, dict):
        return []
    own = [node[TARGET]] if TARGET in node else []
    return own + [target for value in node.values() for target in targets_in(value)]


@cache
def composed(option: Path) -> Settings:
    """Compose with an option, giving any text to keys that its yaml leaves to the user; an objective on stored states,
    which all take."""
    on_states = ["strategy=iisan_cached"] if option.parts[0] == "objective" else []
    return compose_with_required(*on_states, choice(option))


def compose_with_required(*overrides: str) -> Settings:
    try:
        return compose_settings(overrides)
    except SettingsError as error:
        required = re.findall(r"^(\S+) is required: set", str(error), re.MULTILINE)
        if not required:
            raise
        return compose_settings([*overrides, *(f"{key}=somewhere" for key in required)])


def test_the_default_needs_nothing() -> None:
    assert compose_settings([]).strategy_name == "iisan"


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_composes_and_round_trips_and_its_code_is_part_of_a_runs_identity(option: Path) -> None:
    settings = composed(option)
    config = settings_to_config(settings)
    assert settings_from_config(config) == settings
    named = {target.rpartition(".")[0] for target in targets_in(config)}
    assert named
    assert named <= set(part_modules(settings))
    if option.parts[0] == "strategy":
        assert settings.strategy_name == Path(*option.parts[1:]).with_suffix("").as_posix()


def test_strategies_are_found() -> None:
    assert len([option for option in OPTIONS if option.parts[0] == "strategy"]) >= MINIMUM_STRATEGIES


def test_strategies_have_names_for_people_that_decide_nothing() -> None:
    names = {}
    for option in OPTIONS:
        if option.parts[0] == "strategy" and option.stem != "peft":  # which is whatever method the user names
            settings = composed(option)
            assert roles_of(settings)["strategy.display_name"] == Role.PLACE
            names[option.stem] = settings.strategy.display_name
    assert None not in names.values()
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.parts[0] == "experiment"], ids=str)
def test_an_experiment_is_a_short_diff_with_a_header(option: Path) -> None:
    text = (CONF / option).read_text()
    assert len(text.splitlines()) <= LONGEST_EXPERIMENT
    assert "# Command:" in text
    assert "# Hardware:" in text
    assert yaml.safe_load(text)["name"] == option.stem


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.parts[0] == "debug"], ids=str)
def test_debugging_has_a_folder_of_its_own(option: Path) -> None:
    assert compose_settings([choice(option), "experiment=quickstart"]).name == "debug"
