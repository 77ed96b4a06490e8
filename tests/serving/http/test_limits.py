"""Every limit lets its number pass, refuses one more, and says how to change it."""

from collections.abc import Callable

import pytest

from peftrec.errors import DataError
from peftrec.serving.http.limits import LONGEST_ID, LONGEST_TEXT, Limits
from peftrec.serving.http.messages import NewItem

TWO = Limits(max_k=2, max_history=2, max_items=2, max_added=2)


@pytest.mark.parametrize(
    ("check", "key"),
    [
        (TWO.check_k, "max_k"),
        (lambda number: TWO.check_history(["a"] * number), "max_history"),
        (lambda number: TWO.check_items([NewItem(id="a")] * number), "max_items"),
    ],
)
def test_numbers(check: Callable[[int], None], key: str) -> None:
    check(2)
    with pytest.raises(DataError, match=rf": 3, and this service allows 2 \({key}=2\); "):
        check(3)


def test_added_items_say_how_many_there_are() -> None:
    TWO.check_added(1, 1)
    with pytest.raises(DataError, match=r"1 were added before and 2 are to be, .* allows 2 \(max_added=2\); "):
        TWO.check_added(1, 2)


@pytest.mark.parametrize(("key", "longest"), [("id", LONGEST_ID), ("title", LONGEST_TEXT)])
def test_texts(key: str, longest: int) -> None:
    TWO.check_items([NewItem(id="a"), NewItem(**{"id": "b", key: "x" * longest})])
    with pytest.raises(DataError, match=rf"items\.1\.{key}: {longest + 1:,} characters"):
        TWO.check_items([NewItem(id="a"), NewItem(**{"id": "b", key: "x" * (longest + 1)})])
