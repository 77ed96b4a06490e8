"""The plan's own words: read strictly, told apart from the configuration's."""

import pytest

from peftrec.cli.arguments import Grammar, read_arguments
from peftrec.errors import SettingsError
from peftrec.planning.request import KEYS, DataSize, PlanRequest, read_size

PLAN = Grammar(verb="plan", help="", keys=KEYS, leaves_others=True)


def split(words: list[str]) -> tuple[PlanRequest, list[str]]:
    given = read_arguments(PLAN, words)
    assert given is not None
    return PlanRequest.of(given.own), given.others


def test_own_words_are_taken_and_others_left() -> None:
    words = ["strategy=lora", "memory=24GiB", "rate=0.5", "users=10", "items=20", "interactions=50", "name=a=b"]
    request, others = split(words)
    assert (request.memory, request.unit) == (24 * 2**30, "GiB")
    assert request.rate == 5e11
    assert request.size == DataSize(users=10, items=20, interactions=50)
    assert others == ["strategy=lora", "name=a=b"]


def test_no_own_words() -> None:
    assert split(["data.items=x.tsv", "seed"]) == (PlanRequest(), ["data.items=x.tsv", "seed"])


@pytest.mark.parametrize(
    ("text", "size"), [("1.5GiB", 3 * 2**29), ("80GB", 80 * 10**9), ("512 MiB", 2**29), ("7B", 7), ("1TiB", 2**40)]
)
def test_sizes(text: str, size: int) -> None:
    found, unit = read_size(text)
    assert found == size
    assert text.endswith(unit)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["memory=24"], "memory=24: expected a number and a unit of B, MB"),
        (["memory=24gib"], "did you mean 24GiB?"),
        (["memory=-1GiB"], "expected a number and a unit"),
        (["memory=8GiB,24GiB"], "expected a number and a unit"),
        (["memory=1GiB", "memory=2GiB"], "memory is given twice"),
        (["rate=fast"], "rate=fast: expected the device's TFLOP/s"),
        (["rate=0"], "a number above 0"),
        (["rate=nan"], "a number above 0"),
        (["rate=inf"], "a number above 0"),
        (["users=5"], "needs all three; add items=N, interactions=N"),
        (["users=5", "items=1e3", "interactions=50"], "items=1e3: expected a whole number above 1"),
        (["users=5", "items=1", "interactions=50"], "items=1: expected a whole number above 1"),
        (
            ["users=5", "items=9", "interactions=19"],
            "interactions=19: 5 users have at least 4 each, so give 20 or more",
        ),
    ],
)
def test_a_word_that_cannot_be_read_is_one_error(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        split(words)
    assert message in str(raised.value)
