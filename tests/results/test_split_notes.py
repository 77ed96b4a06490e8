"""What a report says of the split: by which rule, when, and how many users each part leaves."""

from typing import Any

import pytest

from made_up_records import STRATEGIES, made_up_ranks, made_up_record
from peftrec.results.record import Record
from peftrec.results.split_notes import split_text

LEFT = {
    "users_in_training": 1500,
    "users_ranked_in_validation": 40,
    "users_without_history_in_validation": 7,
    "users_without_history_in_test": 9,
}


def record(source: Any, **data: Any) -> Record:
    made = made_up_record(STRATEGIES[0], 1, made_up_ranks(0.3, 1, 200))
    assert made.data is not None
    return made.model_copy(
        update={"config": {**made.config, "data": source}, "data": made.data.model_copy(update=data)}
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"split": "leave_one_out", "windows": "last", "sequence_length": 10}, "the others of their last 13 train."),
        (
            {"split": "leave_one_out", "windows": "all", "sequence_length": 10},
            "the others of their whole history train.",
        ),
        ({"split": "leave_one_out"}, "the others train."),
    ],
)
def test_leave_one_out(source: dict[str, Any], expected: str) -> None:
    text = split_text(record({"split": "leave_one_out", **source}))
    assert text == (
        f"Split: leave one out for each of 200 users; the last item tests, the last but one validates, {expected}"
    )


def test_a_split_by_time_names_its_moments_and_whom_it_leaves() -> None:
    source = {"split": "global_time", "windows": "all"}
    text = split_text(record(source, counts=LEFT, validation_from=1450000000, test_from=1.5e9))
    assert text == (
        "Split: by time, the same moments for all users. What is before validation (1450000000) trains (1,500 users); "
        "a user's first item from then to before the test (1500000000) validates (40 users), the first from then on "
        "tests (200 users). Without a history before it, 7 users are not ranked in validation and 9 not in test."
    )
    assert "leave one out" not in text


def test_what_a_record_does_not_hold_is_not_said() -> None:
    bare = record({"split": "global_time"}).model_copy(update={"data": None})
    assert split_text(bare) == "Split: by time, the same moments for all users."
    assert split_text(record({})) == "Split: not recorded."
