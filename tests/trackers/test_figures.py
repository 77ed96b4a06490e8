"""What trackers are told is what the record says, under names that are the same everywhere."""

import re

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import Record
from peftrec.trackers.figures import (
    Standing,
    TrialName,
    alias,
    epoch_figures,
    final_figures,
    group_of,
    name_of,
    numbers,
    with_aliases,
)

STANDING = Standing(row="lora", tpme=0.5, tpme_low=0.4, tpme_high=0.6, pscp=0.2, is_on_front=True)


@pytest.fixture(scope="module")
def record() -> Record:
    return made_up_record(STRATEGIES[-1], 1, made_up_ranks(0.3, 1, 50))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test/hr@10", "test_hr_at_10"),
        ("best_val/ndcg@20", "best_val_ndcg_at_20"),
        ("baseline/item-knn/hr@10", "baseline_item_knn_hr_at_10"),
        ("train/loss", "train_loss"),
    ],
)
def test_an_alias_is_a_name_of_letters_digits_and_underscores(name: str, expected: str) -> None:
    assert alias(name) == expected


def test_only_names_with_an_at_stand_twice_and_with_one_value() -> None:
    figures = with_aliases({"test/hr@10": 0.25, "train/loss": 3.0})
    assert figures == {"test/hr@10": 0.25, "test_hr_at_10": 0.25, "train/loss": 3.0}


def test_an_epoch_is_counted_from_one_and_has_loss_and_validation(record: Record) -> None:
    epoch = record.epochs[2]
    figures = epoch_figures(epoch)
    assert (figures["epoch"], figures["train/loss"]) == (3, epoch.training_loss)
    assert {name: figures[f"val/{name}"] for name in epoch.validation} == epoch.validation
    assert figures["val_hr_at_10"] == epoch.validation["hr@10"]


def test_the_end_has_the_records_figures_and_the_standing(record: Record) -> None:
    figures = final_figures(record, STANDING)
    assert record.evaluation is not None
    assert record.parameters is not None
    assert record.efficiency is not None
    assert {name: figures[f"test/{name}"] for name in record.evaluation.test} == record.evaluation.test
    assert figures["best_val/hr@10"] == record.epochs[2].validation["hr@10"]
    assert figures["baseline/popularity/ndcg@10"] == record.evaluation.baselines["popularity"]["ndcg@10"]
    assert figures["chosen_epoch"] == 3
    assert figures["efficiency/trainable_parameters"] == record.parameters.trainable
    assert figures["efficiency/seconds_per_epoch"] == record.efficiency.seconds_per_epoch
    assert {name: figures[name] for name in vars(STANDING)} == vars(STANDING)


def test_what_a_run_does_not_have_is_left_out(record: Record) -> None:
    bare = record.model_copy(
        update={"evaluation": None, "efficiency": None, "chosen_epoch": None, "status": "failed", "parameters": None}
    )
    figures = final_figures(bare)
    assert figures["status"] == "failed"
    assert not [name for name in figures if name.startswith(("test", "best_val", "baseline", "efficiency", "tpme"))]
    assert None not in figures.values()


def test_numbers_are_finite() -> None:
    assert numbers({"a": 1, "b": "text", "c": float("inf"), "d": float("nan"), "e": True}) == {"a": 1.0, "e": 1.0}


def test_every_figure_has_a_name_that_w_and_b_can_sort_by_or_no_at(record: Record) -> None:
    figures = {**final_figures(record), **epoch_figures(record.epochs[0])}
    assert not [name for name in figures if "@" in name and alias(name) not in figures]
    assert all(re.fullmatch(r"[\w@/]+", name) for name in figures)


def test_trials_have_a_group_and_a_name_of_their_own(record: Record) -> None:
    trial = record.model_copy(update={"kind": "trial", "evaluation": None})
    assert (group_of(record), group_of(trial)) == (record.experiment, f"{record.experiment}/trials")
    assert name_of(record) == "lora seed=1"
    assert name_of(trial, TrialName(number=7, origin="random")) == "lora trial 7 (random)"
    combined = TrialName(number=7, origin="random", method="lora (LiGR)")
    assert name_of(trial, combined) == "lora (LiGR) trial 7 (random)"
