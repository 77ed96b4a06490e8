"""Every yaml of the configuration folder composes, whatever is added to it."""

import re
from pathlib import Path

import pytest
import yaml

from peftrec.config.folder import config_directory, group_folders
from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_from_config, settings_to_config

CONF = config_directory()
OPTIONS = [path.relative_to(CONF) for group in group_folders(CONF) for path in sorted(group.rglob("*.yaml"))]
MINIMUM_STRATEGIES = 5
LONGEST_EXPERIMENT = 30


def choice(option: Path) -> str:
    return f"{option.parts[0]}={Path(*option.parts[1:]).with_suffix('').as_posix()}"


def compose_with_required(*overrides: str) -> Settings:
    """Compose, giving any text to keys that a yaml leaves to the user."""
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
def test_every_option_composes_and_round_trips(option: Path) -> None:
    settings = compose_with_required(choice(option))
    assert settings_from_config(settings_to_config(settings)) == settings


def test_strategies_are_found() -> None:
    strategies = [option for option in OPTIONS if option.parts[0] == "strategy"]
    assert len(strategies) >= MINIMUM_STRATEGIES
    for option in strategies:
        assert compose_settings([choice(option)]).strategy_name == Path(*option.parts[1:]).with_suffix("").as_posix()


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
