"""RecBole's atomic files: typed headers, what is read, and one clear message for every bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.readers.recbole import RecBoleFiles
from peftrec.errors import DataError
from peftrec.settings.composition import compose_settings

ITEMS = [
    "item_id:token\ttitle:token_seq\tprice:float\tclass:token_seq",
    'i1\tThe "first\t3.5\tred big',
    "i2\tSecond\t1\t",
    "i3\tThird, or so\t\tblue",
    "i4\tFourth\t2\tred",
    "i 5\tFifth\t2\tred",
]
EVENTS = [
    "user_id:token\titem_id:token\trating:float\ttimestamp:float",
    *(f"u1\t{item}\t3\t{time}" for time, item in zip((4, 3, 2, 1, 0), ("i1", "i2", "i3", "i4", "i 5"), strict=True)),
    *(f"u2\t{item}\t3\t{time}" for time, item in enumerate(("i1", "i1", "i2", "i3", "i4", "i 5"))),
]


def write(root: Path, items: list[str] = ITEMS, events: list[str] = EVENTS) -> Path:
    (root / "tiny.item").write_text("\n".join([*items, ""]))
    (root / "tiny.inter").write_text("\n".join([*events, ""]))
    return root


def read(root: Path, **fields: Any) -> Catalogue:
    return RecBoleFiles(**{"root": str(root), "dataset": "tiny", **fields}).read(titles=["text"], images=[])


def message(root: Path, **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **fields)
    return str(caught.value)


def replaced(lines: list[str], number: int, line: str) -> list[str]:
    return [*lines[: number - 1], line, *lines[number:]]


def test_atomic_files_become_a_catalogue(tmp_path: Path) -> None:
    catalogue = read(write(tmp_path))
    assert catalogue.items.ids == ("i1", "i2", "i3", "i4", "i 5")
    assert catalogue.items.titles == ('The "first', "Second", "Third, or so", "Fourth", "Fifth")
    assert catalogue.interactions.users == ("u1", "u2")
    assert [history.tolist() for history in catalogue.interactions] == [[4, 3, 2, 1, 0], [0, 0, 1, 2, 3, 4]]
    times = catalogue.interactions.times
    assert times is not None
    np.testing.assert_array_equal(times, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5])


def test_further_fields_are_joined_without_their_types(tmp_path: Path) -> None:
    titles = read(write(tmp_path), text_fields=("title", "class", "price")).items.titles
    assert titles is not None
    assert titles[:3] == ('The "first. class: red big. price: 3.5', "Second. price: 1", "Third, or so. class: blue")


def test_names_and_separator_are_settings(tmp_path: Path) -> None:
    events = [line.replace("user_id", "uid").replace("timestamp", "when") for line in EVENTS]
    write(tmp_path, [line.replace("\t", "|") for line in ITEMS], [line.replace("\t", "|") for line in events])
    catalogue = read(tmp_path, user_field="uid", time_field="when", field_separator="|")
    assert catalogue.interactions[0].tolist() == [4, 3, 2, 1, 0]


def test_without_timestamps_the_order_of_the_file_counts(tmp_path: Path) -> None:
    write(tmp_path, events=["\t".join(line.split("\t")[:3]) for line in EVENTS])
    found = message(tmp_path)
    assert f"{tmp_path}/tiny.inter: there is no column 'timestamp': set data.time_field to one of" in found
    assert "or to null where the rows of a user stand oldest first" in found
    catalogue = read(tmp_path, time_field=None)
    assert catalogue.interactions[0].tolist() == [0, 1, 2, 3, 4]
    assert catalogue.interactions.times is None


@pytest.mark.parametrize(
    ("file", "line", "content", "expected"),
    [
        ("tiny.inter", 1, "user_id\titem_id:token\trating:float\ttimestamp:float", "'user_id' has no type: write"),
        (
            "tiny.inter",
            1,
            "user_id:token\titem_id:token\trating:float\ttimestamp:int",
            "one of token, token_seq, float",
        ),
        ("tiny.inter", 1, "user_id:token\titem_id:token\trating:float\ttimestamp:token", "is a token, not a float"),
        ("tiny.inter", 1, "user_id:float\titem_id:token\trating:float\ttimestamp:float", "is a float, not a token"),
        ("tiny.item", 1, "item_id:token_seq\ttitle:token_seq\tprice:float\tclass:token", "not a token: correct the"),
        ("tiny.inter", 3, "u1\ti2\t3\tsoon", "timestamp:float is 'soon', not a number as in other rows"),
        ("tiny.inter", 3, "u1\ti22\t3\t3", "item 'i22' has no row in {root}/tiny.item; the nearest id there is 'i2'"),
        ("tiny.inter", 3, "u1\ti2\t3", "found 3 columns, expected 4 (user_id:token\titem_id:token"),
        ("tiny.inter", 3, "\ti2\t3\t1", "user_id:token is empty"),
        ("tiny.item", 4, "i1\tAgain\t1\t", "item 'i1' stands already in line 2"),
        ("tiny.item", 4, "i3\t\t1\t", "(item 'i3'); mend the data, or set data.empty_titles=drop"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, file: str, line: int, content: str, expected: str) -> None:
    write(tmp_path, replaced(ITEMS, line, content) if file == "tiny.item" else ITEMS,
          replaced(EVENTS, line, content) if file == "tiny.inter" else EVENTS)  # fmt: skip
    found = message(tmp_path)
    assert f"{tmp_path / file}:{line}" in found
    assert expected.format(root=tmp_path) in found


def test_missing_files_and_fields_are_named(tmp_path: Path) -> None:
    assert "tiny.item: no such file: correct data.dataset" in message(tmp_path)
    write(tmp_path)
    (tmp_path / "tiny.inter").unlink()
    assert "tiny.inter: no such file: correct data.dataset" in message(tmp_path)
    write(tmp_path)
    assert message(tmp_path, text_fields=("titel",)) == (
        f"{tmp_path}/tiny.item: there is no column 'titel', the nearest is 'title': set data.text_fields to one of "
        "item_id, title, price and 1 more"
    )


def test_another_separator_is_told_with_its_key(tmp_path: Path) -> None:
    found = message(write(tmp_path, events=[line.replace("\t", ";") for line in EVENTS]))
    assert f"{tmp_path}/tiny.inter: the first line has one column" in found
    assert "separated by semicolons?" in found
    assert "set data.field_separator" in found


def test_ids_alone_need_no_item_file(tmp_path: Path) -> None:
    (write(tmp_path) / "tiny.item").unlink()
    found = message(tmp_path)
    advice = found.rpartition("to train on ids alone, add: ")[2]
    assert advice == "data.text_fields=[] strategy=id towers.text=null towers.image=null"
    words = ["data=recbole", f"data.root={tmp_path}", "data.dataset=tiny", *advice.split()]
    catalogue = compose_settings(words).data.read(titles=[], images=[])
    assert catalogue.items.ids == ("i1", "i2", "i3", "i4", "i 5")
    assert [history.tolist() for history in catalogue.interactions] == [[4, 3, 2, 1, 0], [0, 0, 1, 2, 3, 4]]
