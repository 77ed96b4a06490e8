"""Every law of user encoders, objectives and data sources is broken once, and seen to be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import planted_models as planted
import planted_sources
from peftrec.data.readers.table import TableFiles
from peftrec.data.source import DataSource
from peftrec.errors import SettingsError
from peftrec.objectives.base import Objective
from peftrec.testing import test_data, test_objective, test_user_encoder
from peftrec.testing.parts import compose
from peftrec.training.measurement.first_step import AdaptationError
from peftrec.user_encoders.base import UserEncoder

Law = Callable[..., None]
USERS, LOSSES, SOURCES = test_user_encoder, test_objective, test_data
USER_ENCODERS: list[tuple[type[UserEncoder], Law]] = [
    (planted.GivesTheLastStateAlone, USERS.test_gives_a_state_a_step),
    (planted.SeesTheFuture, USERS.test_a_later_item_does_not_change_earlier_states),
    (planted.SeesLaterTimes, USERS.test_a_later_time_does_not_change_earlier_states),
    (planted.ForgetsTimes, USERS.test_a_later_time_does_not_change_earlier_states),
    (planted.ReadsPadding, USERS.test_what_stands_at_padding_does_not_matter),
    (planted.ComparesUsers, USERS.test_a_user_does_not_depend_on_the_others),
    (planted.DividesByNothing, USERS.test_padding_alone_gives_finite_states_and_gradients),
    (planted.DropsUndeclared, USERS.test_draws_random_numbers_in_training_where_declared),
    (planted.DropsNothing, USERS.test_draws_random_numbers_in_training_where_declared),
    (planted.HasAnIdleLayer, USERS.test_what_moves_is_what_is_declared_trainable),
    (planted.HasAnIdleLayer, USERS.test_the_first_steps_check_accepts_it),
    (planted.AsksForANumber, USERS.test_a_plan_counts_what_a_step_computes),
    (planted.RefusesLate, USERS.test_a_width_that_cannot_be_built_is_known_beforehand),
]
OBJECTIVES: list[tuple[type[Objective], Law]] = [
    (planted.GivesManyNumbers, LOSSES.test_gives_one_finite_number_and_gradients),
    (planted.CountsPadding, LOSSES.test_what_stands_at_padding_does_not_matter),
    (planted.SumsUp, LOSSES.test_the_parts_of_a_batch_have_its_mean),
    (planted.IgnoresWhatItAskedFor, LOSSES.test_scores_against_what_it_asks_for),
    (planted.AddsNoiseUndeclared, LOSSES.test_draws_random_numbers_in_training_where_declared),
    (planted.HasAnIdleParameter, LOSSES.test_what_moves_is_what_is_declared_trainable),
    (planted.HasAnIdleParameter, LOSSES.test_the_first_steps_check_accepts_it),
    (planted.LooksForItsPositions, LOSSES.test_a_plan_counts_what_a_step_computes),
]
DATA: list[tuple[type[planted_sources.LawAbidingSource], Law]] = [
    (planted_sources.ReadsInAnyOrder, SOURCES.test_reading_again_gives_the_same),
    (planted_sources.ListsItemsTwice, SOURCES.test_histories_are_of_the_catalogues_items),
    (planted_sources.OpensImagesUnasked, SOURCES.test_reads_the_modalities_that_are_asked_for),
    (planted_sources.FailsWithoutAMessage, SOURCES.test_files_that_are_not_there_are_named),
]


def laws_of(module: ModuleType) -> list[Law]:
    return [law for name, law in vars(module).items() if name.startswith("test_")]


def name_of(value: Any) -> str:
    return str(value.__name__)


def user_encoder_trial(encoder: UserEncoder) -> test_user_encoder.UserEncoderTrial:
    return USERS.UserEncoderTrial(replace(compose("strategy", "frozen"), user_encoder=encoder))


def objective_trial(objective: Objective) -> test_objective.ObjectiveTrial:
    return LOSSES.ObjectiveTrial(replace(compose("strategy", "frozen"), objective=objective))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Histories of one format, and the same as a table."""
    rows = [(f"u{user}", [f"i{(user + step) % 9}" for step in range(5 + user % 2)]) for user in range(8)]
    root = tmp_path / "data"
    root.mkdir()
    (root / "histories.txt").write_text("".join(" ".join(items) + "\n" for _, items in rows))
    lines = [f"{user},{item},{time}" for user, items in rows for time, item in enumerate(items)]
    (root / "interactions.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n")
    (root / "items.csv").write_text("\n".join(["item,title", *(f"i{item},lamp {item}" for item in range(9))]) + "\n")
    return root


def check_all(module: ModuleType, trial: object, folder: Path) -> None:
    for law in laws_of(module):
        extra = {"tmp_path": folder.parent} if "tmp_path" in law.__annotations__ else {}
        law(trial, **extra)


def test_what_keeps_all_laws_passes_them(folder: Path) -> None:
    check_all(USERS, user_encoder_trial(planted.LawAbidingEncoder()), folder)
    check_all(LOSSES, objective_trial(planted.LawAbidingObjective()), folder)


@pytest.mark.parametrize("source_class", [planted_sources.LawAbidingSource, TableFiles])
def test_sources_of_files_pass_their_laws(source_class: type[DataSource], folder: Path) -> None:
    check_all(SOURCES, SOURCES.DataTrial(source_class(root=str(folder))), folder)


@pytest.mark.parametrize(("encoder", "law"), USER_ENCODERS, ids=name_of)
def test_a_user_encoder_that_breaks_a_law_fails_it(encoder: type[UserEncoder], law: Law) -> None:
    with pytest.raises((AssertionError, AdaptationError, SettingsError)):
        law(user_encoder_trial(encoder()))


@pytest.mark.parametrize(("objective", "law"), OBJECTIVES, ids=name_of)
def test_an_objective_that_breaks_a_law_fails_it(objective: type[Objective], law: Law) -> None:
    with pytest.raises((AssertionError, AdaptationError, SettingsError)):
        law(objective_trial(objective()))


@pytest.mark.parametrize(("source", "law"), DATA, ids=name_of)
def test_a_source_that_breaks_a_law_fails_it(source: type[DataSource], law: Law, folder: Path) -> None:
    extra = {"tmp_path": folder.parent} if "tmp_path" in law.__annotations__ else {}
    with pytest.raises((AssertionError, FileNotFoundError)):
        law(SOURCES.DataTrial(source(root=str(folder))), **extra)


def test_every_law_is_broken_once() -> None:
    for module, breaks in ((USERS, USER_ENCODERS), (LOSSES, OBJECTIVES), (SOURCES, DATA)):
        assert {law for _, law in breaks} == set(laws_of(module))
