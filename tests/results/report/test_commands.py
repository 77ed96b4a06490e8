"""The command that trains a run again: composing it gives the run's configuration."""

import shlex
from collections.abc import Sequence
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from pydantic import JsonValue

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.code.user_code import open_door
from peftrec.config.folder import config_directory
from peftrec.config.roles import roles_of
from peftrec.results.record import Record
from peftrec.results.report.commands import Command, command_of, in_override
from peftrec.settings.composition import compose_settings
from peftrec.settings.run import Settings, settings_to_config

OF_CONFIG = sorted(
    path.relative_to(config_directory() / "strategy").with_suffix("").as_posix()
    for path in (config_directory() / "strategy").rglob("*.yaml")
)


USUAL = ("lora", "iisan_cached", "id")


def record_of(settings: Settings) -> Record:
    """Return a record with the configuration of a run."""
    made = made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 20))
    config = settings_to_config(settings)
    return made.model_copy(update={"config": config, "roles": roles_of(settings), "strategy": settings.strategy_name})


def composed(overrides: Sequence[str]) -> tuple[Settings, Command]:
    settings = compose_settings(overrides)
    return settings, command_of(record_of(settings))


def assert_composes(settings: Settings, command: Command) -> None:
    assert settings_to_config(compose_settings(command.words)) == settings_to_config(settings), command.text
    assert shlex.split(command.text) == ["peftrec", "train", *command.words]


@pytest.mark.parametrize(
    "strategy", [each if each in USUAL else pytest.param(each, marks=pytest.mark.slow) for each in OF_CONFIG]
)
def test_every_strategy_is_trained_again_by_its_name_and_seed(strategy: str) -> None:
    """Nothing is said that the yaml files say, or the classes."""
    _, command = composed([f"strategy={strategy}", "seed=4"])
    assert command == Command((f"strategy={strategy}", "name=default", "seed=4"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["strategy=lora", "strategy.rank=2", "strategy.sites=[query]", "learning_rates.text=3.78e-05", "seed=0"],
        [
            "experiment=paper",
            "strategy=full",
            *(word.replace("'", "") for word in ["data.root=d", "data.images=i.zip"]),
        ],
        ["strategy=full", 'data.root="some folder/data"', "data=iisan", "towers.image=null", "towers=minilm_text"],
        ["strategy=id", "towers.text=null", "towers.image=null", "trainer.max_steps_per_epoch=3", "name=a-b"],
        ["towers=features", "towers.text.file=t.npy", "towers.image=null", "strategy=frozen"],
        ["towers=features", "towers.text=null", "towers.image.file='true'", "strategy=frozen"],
        ["towers=bert_vit_base_random", "strategy=iisan", "logger=wandb", "learning_rates=paper/iisan_cached"],
        ["user_encoder=gtn", "data=microlens", "data.root='1e5'", "strategy=bitfit"],
        ["user_encoder=gru4rec", "data=movielens_posters", "data.root=null-ish", "strategy=frozen"],
        ["learning_rates.finer={}", "evaluation.monitor=ndcg@20", "trainer.precision=bf16-mixed", "strategy=lst"],
    ],
    ids=lambda overrides: " ".join(overrides[:3]),
)
def test_changed_settings_are_said_and_nothing_else(overrides: list[str]) -> None:
    settings, command = composed(overrides)
    assert_composes(settings, command)
    assert not command.needs_folder


def test_a_folder_of_the_users_own_changes_no_command(tmp_path: Any) -> None:
    """A report that a sweep ends with says what one says that is made later."""
    settings = compose_settings(["strategy=lora", "learning_rates.introduced=0.5"])
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "lora.yaml").write_text("learning_rates:\n  introduced: 0.5\n")
    command = command_of(record_of(settings))
    open_door(config=[str(tmp_path)])
    try:
        assert compose_settings(["strategy=lora"]).learning_rates.introduced == 0.5
        assert command_of(record_of(settings)) == command
    finally:
        open_door()
    assert "learning_rates.introduced=0.5" in command.words


def test_parts_of_the_users_own_need_their_folder() -> None:
    record = record_of(compose_settings(["strategy=lora", "strategy.rank=3"]))
    config: dict[str, Any] = {**record.config, "strategy": {"_target_": "mine.Own", "number": 2, "name": "x y"}}
    command = command_of(record.model_copy(update={"config": config, "strategy": "own"}))
    assert command.needs_folder
    assert command.text == (
        "peftrec train --config-dir DIR strategy=own name=default seed=1 strategy.number=2 'strategy.name=\"x y\"'"
    )


def test_a_strategy_of_the_users_own_under_a_name_of_ours_needs_its_folder() -> None:
    record = record_of(compose_settings(["strategy=lora"]))
    config: dict[str, Any] = {**record.config, "strategy": {"_target_": "mine.LoRA", "rank": 8}}
    command = command_of(record.model_copy(update={"config": config}))
    assert command.needs_folder
    assert "strategy.rank=8" in command.words


def test_settings_that_this_version_does_not_know_are_said() -> None:
    """The command is of the run's commit, which knew them."""
    record = record_of(compose_settings(["strategy=lora"]))
    config: dict[str, Any] = {**record.config, "batch_sise": 3, "user_encoder": {"_target_": "peftrec.gone.Gone"}}
    command = command_of(record.model_copy(update={"config": config}))
    assert "batch_sise=3" in command.words
    assert "user_encoder._target_=peftrec.gone.Gone" in command.words


@pytest.mark.parametrize(
    "text",
    [
        *(
            "true",
            "NULL",
            "nan",
            "inf",
            "-1",
            "1e5",
            "1_000",
            "0x1",
            "32-true",
            "ndcg@10",
            "a b",
            "a,b",
            "[x]",
            "{x:1}",
        ),
        *("", " ", "it's", 'say "hi"', "back\\slash", "ends\\", 'both\\"', "${seed}", "\\${seed}", "$HOME", "a=b", "ä"),
        *("a:b", "~/data", "../data", "-dash", "+plus", "%d", "#no comment", "line\nbreak", "(x)", "x!", "*"),
    ],
)
def test_every_text_is_read_as_it_stands(text: str) -> None:
    assert read_back(text) == text


def test_values_are_read_as_they_stand() -> None:
    value: JsonValue = {"a": [1, 2.5, 1e-05, None, True, "x,y"], "b c": {"d": "e:f"}, "h.i": {}}
    assert read_back(value) == value


def read_back(value: JsonValue) -> Any:
    """Return what Hydra and OmegaConf make of a value on a command line."""
    parsed = OverridesParser.create().parse_overrides([f"key={in_override(value)}"])[0].value()
    return OmegaConf.to_container(OmegaConf.create({"key": parsed}), resolve=True)["key"]  # type: ignore[call-overload, index]
