"""Every law of strategies is broken once, and seen to be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import planted_parts as planted
from peftrec.code.user_code import open_door
from peftrec.strategies.base import Strategy
from peftrec.testing import test_strategy as laws
from peftrec.testing.parts import compose
from peftrec.testing.small_towers import SMALL_PAIRS
from peftrec.testing.strategy_trial import StrategyTrial
from peftrec.training.measurement.first_step import AdaptationError

Law = Callable[[StrategyTrial], None]
ALL: list[Law] = [law for name, law in vars(laws).items() if name.startswith("test_")]
BREAKS: list[tuple[type[Strategy], Law]] = [
    (planted.NotFinite, laws.test_embeds_each_item_of_a_batch),
    (planted.CentredOnTheBatch, laws.test_an_items_embedding_does_not_depend_on_the_batch),
    (planted.DrawsWhenScoring, laws.test_scoring_draws_nothing),
    (planted.ThawsLater, laws.test_every_parameter_has_one_role),
    (planted.DeclaresWhatNothingReads, laws.test_what_moves_is_what_is_declared_trainable),
    (planted.MovesWhatIsFrozen, laws.test_what_moves_is_what_is_declared_trainable),
    (planted.TrainsFrozenTowers, laws.test_frozen_towers_have_no_trainable_parameter),
    (planted.DeclaresNoIdentity, laws.test_starts_at_the_pretrained_towers_where_declared),
    (planted.StartsElsewhere, laws.test_starts_at_the_pretrained_towers_where_declared),
    (planted.DrawsUndeclared, laws.test_draws_random_numbers_in_training_where_declared),
    (planted.DeclaresDraws, laws.test_draws_random_numbers_in_training_where_declared),
    (planted.ReadsOtherLayers, laws.test_reads_of_the_towers_what_it_says),
    (planted.ReadsNoTower, laws.test_reads_of_the_towers_what_it_says),
    (planted.ForgetsABuffer, laws.test_a_checkpoint_of_trainable_tensors_restores_the_outputs),
    (planted.StartsAnywhere, laws.test_the_same_seed_gives_the_same_training),
    (planted.DeclaresWhatNothingReads, laws.test_the_first_steps_check_accepts_it_and_changes_nothing),
    (planted.MovesWhatIsFrozen, laws.test_the_first_steps_check_accepts_it_and_changes_nothing),
    (planted.OtherFromAStore, laws.test_stored_and_live_states_train_alike),
]


@pytest.fixture(autouse=True)
def _open_door() -> Iterator[None]:
    open_door(code=[str(Path(planted.__file__).parent)])
    yield
    open_door()


def trial_of(strategy: type[Strategy]) -> StrategyTrial:
    settings = compose("user_encoder", "sasrec")
    return StrategyTrial(replace(settings, strategy=strategy()), SMALL_PAIRS["image_only"])


@pytest.mark.parametrize("strategy", [planted.LawAbiding, planted.LawAbidingReader])
def test_what_keeps_all_laws_passes_them(strategy: type[Strategy]) -> None:
    trial = trial_of(strategy)
    for law in ALL:
        law(trial)


@pytest.mark.parametrize(("strategy", "law"), BREAKS, ids=lambda value: value.__name__)
def test_what_breaks_a_law_fails_it(strategy: type[Strategy], law: Law) -> None:
    with pytest.raises((AssertionError, AdaptationError)):
        law(trial_of(strategy))


def test_every_law_is_broken_once() -> None:
    assert {law for _, law in BREAKS} == set(ALL)
