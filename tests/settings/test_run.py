"""The root schema by itself: cross-field checks and derived places."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from peftrec.errors import SettingsError
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_from_config, settings_to_config

DATA = ["data=iisan", "data.root=somewhere"]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return compose_settings([*DATA, "strategy=lora", "runs_dir=elsewhere", "name=mine"])


def test_runs_lie_below_the_experiment(settings: Settings) -> None:
    assert settings.experiment_directory == Path("elsewhere/mine")


def test_settings_cannot_be_changed(settings: Settings) -> None:
    with pytest.raises(FrozenInstanceError):
        settings.seed = 3  # type: ignore[misc]


def test_content_strategies_need_a_tower(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"towers\.text and towers\.image are both null"):
        replace(settings, towers=replace(settings.towers, text=None, image=None))


def test_ids_need_no_tower() -> None:
    settings = compose_settings([*DATA, "strategy=id", "towers.text=null", "towers.image=null"])
    assert not settings.towers.parts


def test_a_record_with_a_key_that_this_version_lacks_is_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="unknown key temperature"):
        settings_from_config({**settings_to_config(settings), "temperature": 0.5})


def test_a_record_without_a_required_key_is_refused(settings: Settings) -> None:
    config = settings_to_config(settings)
    del config["runs_dir"]
    with pytest.raises(SettingsError, match="runs_dir is required: set runs_dir=DIR"):
        settings_from_config(config)


@pytest.mark.parametrize("name", ["..", ".", "a b", "a/b", ""])
def test_a_name_stays_below_its_folder_and_is_explained_in_words(name: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"^name: .*letters, digits, dots, dashes and underscores") as caught:
        settings_from_config({**settings_to_config(settings), "name": name})
    assert "[" not in str(caught.value)


def test_a_metric_that_no_epoch_has_is_answered_with_those_there_are(settings: Settings) -> None:
    config = settings_to_config(settings)
    config["evaluation"]["monitor"] = "hr@7"  # type: ignore[index, call-overload]
    with pytest.raises(SettingsError, match=r"evaluation\.monitor: expected one of hr@5, .*mrr@20, got \"hr@7\""):
        settings_from_config(config)
