"""A folder of best settings that has none of what is trained is refused: its groups are optional for Hydra."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from peftrec.code.user_code import open_door
from peftrec.errors import SettingsError
from peftrec.settings.best_settings import check_best_settings
from peftrec.settings.composition import compose_settings

CHOICES = {"strategy": "id", "user_encoder": "ligr", "objective": "bce"}


@pytest.fixture
def best(tmp_path: Path) -> Iterator[Path]:
    """A folder that the command names, empty so far."""
    open_door(config=[str(tmp_path)])
    yield tmp_path
    open_door()


def write(file: Path, rate: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# @package _global_\nlearning_rates: {{recommender: {rate}}}\n")


def test_a_combination_is_found_by_its_groups_and_another_is_not(best: Path) -> None:
    write(best / "tuned_combination" / "id" / "ligr" / "bce.yaml", 0.005)
    words = ["strategy=id", "user_encoder=ligr", "objective=bce"]
    assert compose_settings(words).learning_rates.recommender == 0.005
    assert compose_settings([*words, "learning_rates.recommender=0.1"]).learning_rates.recommender == 0.1
    with pytest.raises(SettingsError) as error:
        compose_settings(words[:2])
    assert "no best setting of strategy=id user_encoder=ligr objective=debiased_cross_entropy" in str(error.value)
    assert "but those of strategy=id user_encoder=ligr objective=bce; choose one of them, or leave" in str(error.value)


def test_a_strategy_is_found_whatever_stands_beside_it(best: Path) -> None:
    write(best / "tuned" / "id.yaml", 0.005)
    assert compose_settings(["strategy=id", "user_encoder=ligr"]).learning_rates.recommender == 0.005
    with pytest.raises(SettingsError, match=r"no best setting of strategy=lora was written .* those of strategy=id;"):
        compose_settings(["strategy=lora"])


def test_folders_without_best_settings_say_nothing(best: Path) -> None:
    (best / "strategy").mkdir()
    check_best_settings(CHOICES)


def test_many_are_counted(best: Path) -> None:
    for number in range(9):
        write(best / "tuned" / f"mine/s{number}.yaml", 0.005)
    with pytest.raises(SettingsError, match="strategy=mine/s5, and 3 more; choose"):
        check_best_settings(CHOICES)
