"""Own tables in every format: what is read, in which order, and one clear message for every bad input."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from peftrec.data.catalogue import Catalogue
from peftrec.data.images.decoding import BLANK_COLOUR
from peftrec.data.readers.table import TableFiles
from peftrec.errors import DataError
from peftrec.settings.composition import compose_settings

ITEMS = pd.DataFrame(
    {
        "item": ["a", "b c", "NA", "007", "é,1"],
        "title": ["Red pen", 'A 3/4" pipe', "", "Ink &amp; quill", "Pad, ruled"],
        "brand": ["Acme", "", "Nib", "Acme", ""],
        "picture": ["p/1.png", "p/2.png", "", "p/4.png", "p/5.png"],
    }
)
HISTORIES = {"u 1": ["a", "b c", "NA", "007", "é,1"], "NA": ["é,1", "007", "a", "a", "b c"]}
TIMES = {"u 1": [1, 2, 3, 4, 5], "NA": [10, 20, 30, 40, 50]}
EVENTS = pd.DataFrame(
    [(user, item, time) for user, items in HISTORIES.items() for item, time in zip(items, TIMES[user], strict=True)],
    columns=["user", "item", "timestamp"],
)
SHUFFLED = EVENTS.sample(frac=1, random_state=3)


def save(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif ".tsv" in path.name:
        text = "\n".join("\t".join(map(str, row)) for row in [tuple(frame.columns), *frame.itertuples(index=False)])
        content = f"{text}\n".encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    else:
        frame.to_csv(path, index=False)


def write(root: Path, suffix: str = ".csv", *, items: pd.DataFrame = ITEMS, events: pd.DataFrame = EVENTS) -> Path:
    save(items, root / f"items{suffix}")
    save(events, root / f"interactions{suffix}")
    return root


def source_of(root: Path, suffix: str = ".csv", **fields: Any) -> TableFiles:
    names = {"items": f"items{suffix}", "interactions": f"interactions{suffix}"}
    return TableFiles(**{"root": str(root), "text_columns": (), **names, **fields})


def read(root: Path, suffix: str = ".csv", *, images: bool = False, **fields: Any) -> Catalogue:
    source = source_of(root, suffix, **fields)
    return source.read(titles=["text"] * bool(source.text_columns), images=["image"] * images)


def message(root: Path, suffix: str = ".csv", **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, suffix, **fields)
    return str(caught.value)


def histories(catalogue: Catalogue) -> dict[str, list[str]]:
    interactions = catalogue.interactions
    named = ([catalogue.items.ids[item] for item in history] for history in interactions)
    return dict(zip(interactions.users, named, strict=True))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet"])
def test_every_format_gives_the_same_catalogue(tmp_path: Path, suffix: str) -> None:
    catalogue = read(write(tmp_path, suffix, events=SHUFFLED), suffix)
    assert catalogue.items.ids == tuple(ITEMS["item"])
    assert histories(catalogue) == HISTORIES
    assert catalogue.interactions.users == tuple(SHUFFLED["user"].unique()), "in the order of their first rows"
    times = catalogue.interactions.times
    assert times is not None
    assert times.dtype == np.int64
    assert times.tolist() == [time for user in catalogue.interactions.users for time in TIMES[user]]
    assert catalogue.items.titles is None
    assert catalogue.counts == {}


def test_rows_of_one_time_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    events = EVENTS.assign(timestamp=[1, 1, 1, 0, 0, 2, 2, 2, 3, 2])
    events = events[~((events["user"] == "NA") & (events["timestamp"] == 3))]
    catalogue = read(write(tmp_path, events=events), minimum_history=4)
    assert histories(catalogue) == {"u 1": ["007", "é,1", "a", "b c", "NA"], "NA": ["é,1", "007", "a", "b c"]}


def test_without_a_time_column_the_order_of_the_file_counts(tmp_path: Path) -> None:
    mixed = EVENTS.iloc[[0, 5, 6, 1, 2, 7, 3, 8, 9, 4]].drop(columns="timestamp")
    catalogue = read(write(tmp_path, events=mixed), timestamp_column=None)
    assert histories(catalogue) == HISTORIES
    assert catalogue.interactions.times is None


def test_columns_may_have_any_name_and_order(tmp_path: Path) -> None:
    renamed = EVENTS.rename(columns={"user": "customer", "item": "asin", "timestamp": "when"})[
        ["when", "asin", "customer"]
    ]
    write(tmp_path, items=ITEMS.rename(columns={"item": "parent"}), events=renamed)
    found = read(tmp_path, user_column="customer", item_column="asin", timestamp_column="when", item_id_column="parent")
    assert histories(found) == HISTORIES


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(range(5), dtype="int64"),
        pd.Series(range(5), dtype="uint8"),
        pd.Series([0.0, 1.0, 2.0, 3.0, 4.0]),
        pd.Series(list("01234")).astype("category"),
        pd.Series(list("x01234y")).astype("category")[1:6].reset_index(drop=True),
        pd.Series(range(5), dtype="Int64"),
        pd.Series(list("01234"), dtype=pd.ArrowDtype(pa.string_view())),
    ],
    ids=["int", "byte", "float", "category", "filtered category", "nullable", "view"],
)
def test_ids_are_text_whatever_their_type(tmp_path: Path, column: pd.Series) -> None:
    items = pd.DataFrame({"item": list("01234")})
    events = pd.DataFrame({"user": [7] * 5, "item": column, "timestamp": range(5)})
    catalogue = read(write(tmp_path, ".parquet", items=items, events=events), ".parquet")
    assert histories(catalogue) == {"7": list("01234")}


@pytest.mark.parametrize("short_histories", ["error", "drop"])
def test_categories_that_no_row_holds_are_no_users(tmp_path: Path, short_histories: str) -> None:
    events = pd.DataFrame({"user": ["gone", *["u"] * 5], "item": list("001234"), "timestamp": range(6)})
    events["user"] = events["user"].astype("category")
    root = write(tmp_path, ".parquet", items=pd.DataFrame({"item": list("01234")}), events=events[1:])
    catalogue = read(root, ".parquet", short_histories=short_histories)
    assert histories(catalogue) == {"u": list("01234")}
    assert not any("histories" in name and count for name, count in catalogue.counts.items())


def test_ids_in_lists_are_refused(tmp_path: Path) -> None:
    events = EVENTS.assign(item=[[item] for item in EVENTS["item"]])
    found = message(write(tmp_path, ".parquet", events=events), ".parquet")
    assert "column 'item' holds list<" in found
    assert "ids are text or whole numbers" in found


def test_a_blank_category_is_named_by_its_row(tmp_path: Path) -> None:
    events = EVENTS.assign(user=EVENTS["user"].where(EVENTS.index != 3, " ").astype("category"))
    assert "interactions.parquet:4: user is empty" in message(write(tmp_path, ".parquet", events=events), ".parquet")


def test_text_fields_are_joined_with_their_names(tmp_path: Path) -> None:
    catalogue = read(write(tmp_path), text_columns=("title", "brand"))
    assert catalogue.items.titles == (
        "Red pen. brand: Acme",
        'A 3/4" pipe',
        "brand: Nib",
        "Ink & quill. brand: Acme",
        "Pad, ruled",
    )
    first = read(tmp_path, text_columns=("title",), empty_titles="blank")
    assert first.items.titles == ("Red pen", 'A 3/4" pipe', "", "Ink & quill", "Pad, ruled")
    assert first.counts == {"titles_blank": 1}
    assert f"{tmp_path}/items.csv:4 (item 'NA')" in message(tmp_path, text_columns=("title",))


def test_lines_are_counted_through_quoted_line_ends_and_empty_lines(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "items.csv").write_text('item,title\r\na,"two\nlines"\r\n\n"b c",x\nNA,\n007,y\n"é,1",z\n\n')
    catalogue = read(tmp_path, text_columns=("title",), empty_titles="blank")
    assert catalogue.items.titles == ("two lines", "x", "", "y", "z")
    assert f"{tmp_path}/items.csv:6 (item 'NA')" in message(tmp_path, text_columns=("title",))


def test_image_paths_of_a_column(tmp_path: Path) -> None:
    (write(tmp_path) / "p").mkdir()
    for number in (1, 2, 4, 5):
        Image.new("RGB", (4, 4), (number, number, number)).save(tmp_path / "p" / f"{number}.png")
    found = message(tmp_path, images=True, image_column="picture")
    assert f"1 of 5 items without an image: item 'NA' at {tmp_path}/items.csv:4: no path" in found
    blanked = read(tmp_path, images=True, image_column="picture", missing_images="blank").items.images
    assert blanked is not None
    assert [blanked.load(item).getpixel((0, 0)) for item in range(5)] == [
        (1, 1, 1), (2, 2, 2), BLANK_COLOUR, (4, 4, 4), (5, 5, 5),
    ]  # fmt: skip
    (tmp_path / "p" / "4.png").unlink()
    found = message(tmp_path, images=True, image_column="picture")
    assert (
        f"2 of 5 items without an image: item 'NA' at {tmp_path}/items.csv:4: no path, item '007' at {tmp_path}/p/4.png"
        in found
    )
    with pytest.raises(ValueError, match="image_column excludes images"):
        source_of(tmp_path, image_column="picture", images="p")
    with pytest.raises(DataError, match=r"the data names none: set data\.images"):
        source_of(tmp_path).read(titles=[], images=["image"])


def test_unknown_items_are_refused_or_dropped(tmp_path: Path) -> None:
    extra = pd.DataFrame({"user": ["u 1", "NA"], "item": ["0007", "zzz"], "timestamp": [0, 99]})
    write(tmp_path, events=pd.concat([EVENTS, extra]))
    found = message(tmp_path)
    assert found.startswith(
        f"{tmp_path}/interactions.csv:12: item '0007' has no row in {tmp_path}/items.csv; '007' there differs in "
        "leading zeros alone, as 1 of 2 such ids do: keep the column as text; in all 2 such entries: '0007' in line "
        "12, 'zzz' in line 13"
    )
    assert "data.unknown_items=drop" in found
    catalogue = read(tmp_path, unknown_items="drop")
    assert histories(catalogue) == HISTORIES
    assert catalogue.counts == {"interactions_dropped_unknown_item": 2}


def test_repeated_rows_are_refused_dropped_or_kept(tmp_path: Path) -> None:
    same_time = pd.DataFrame({"user": ["NA"], "item": ["007"], "timestamp": [30]})  # with 'a', at the same time
    write(tmp_path, events=pd.concat([EVENTS, same_time, EVENTS.iloc[[6, 0, 6]]]))
    found = message(tmp_path)
    assert f"{tmp_path}/interactions.csv:13: user 'NA' has item '007' at this time in an earlier row already" in found
    assert "(and 2 more such rows)" in found
    expected = {"u 1": HISTORIES["u 1"], "NA": ["é,1", "007", "a", "007", "a", "b c"]}
    dropped = read(tmp_path, repeated_interactions="drop")
    assert histories(dropped) == expected
    assert dropped.counts == {"interactions_dropped_repeated": 3}
    kept = read(tmp_path, repeated_interactions="keep")
    assert histories(kept) == {"u 1": ["a", *HISTORIES["u 1"]], "NA": ["é,1", *["007"] * 3, "a", "007", "a", "b c"]}
    assert kept.counts == {"interactions_repeated": 3}
    assert read(tmp_path, timestamp_column=None).counts == {}, "without times no row is known to be repeated"


def test_short_histories_name_the_users_first_row(tmp_path: Path) -> None:
    few = pd.DataFrame({"user": ["v", "v"], "item": ["a", "a"], "timestamp": [2, 1]})
    write(tmp_path, events=pd.concat([EVENTS, few]))
    assert f"{tmp_path}/interactions.csv:12: the history of user 'v' has 2 items" in message(tmp_path)
    assert read(tmp_path, short_histories="drop").counts == {"users_dropped_short_history": 1}


def test_missing_files_and_formats(tmp_path: Path) -> None:
    assert "items.csv: no such file: correct data.items" in message(tmp_path)
    write(tmp_path)
    assert "events.csv: no such file: correct data.interactions" in message(tmp_path, interactions="events.csv")
    (tmp_path / "items.txt").write_text("item\n")
    assert "items.txt: the suffix tells no format: name it .csv, .tsv" in message(tmp_path, items="items.txt")
    (tmp_path / "items.parquet").write_bytes(b"no such thing")
    assert "items.parquet: the file cannot be read as Parquet" in message(tmp_path, items="items.parquet")
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(b"no such thing")[:-9])
    assert "items.csv.gz: the file cannot be read" in message(tmp_path, items="items.csv.gz")
    for name in ("items.parquet", "items.csv.gz"):
        assert "copy, download or write it again" in message(tmp_path, items=name)
    (tmp_path / "folder.csv").mkdir()
    assert "folder.csv: a folder and not a file: correct data.items or" in message(tmp_path, items="folder.csv")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_wrong_columns_name_the_nearest(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, suffix, events=EVENTS.rename(columns={"timestamp": "time_stamp"}))
    assert message(tmp_path, suffix) == (
        f"{tmp_path}/interactions{suffix}: there is no column 'timestamp', the nearest is 'time_stamp': set "
        "data.timestamp_column to one of user, item, time_stamp, or to null where the rows of a user stand oldest first"
    )
    assert "no column 'headline': set data.text_columns to one of item, title, brand and 1 more" in message(
        tmp_path, suffix, text_columns=("headline",)
    )


@pytest.mark.parametrize(
    ("suffix", "separator", "name"),
    [(".csv", ";", "semicolons"), (".csv", "\t", "tabs"), (".tsv", ",", "commas"), (".csv", "|", "bars")],
)
def test_another_separator_is_told_by_the_first_line(tmp_path: Path, suffix: str, separator: str, name: str) -> None:
    write(tmp_path, suffix)
    header = separator.join(EVENTS.columns)
    EVENTS.to_csv(tmp_path / f"interactions{suffix}", sep=separator, index=False)
    found = message(tmp_path, suffix)
    assert found.startswith(
        f"{tmp_path}/interactions{suffix}: the first line has one column, {header!r}: separated by {name}? Save it as"
    )
    assert "with commas as .csv or with tabs as .tsv" in found


def test_white_space_and_case_of_a_header_are_told(tmp_path: Path) -> None:
    write(tmp_path, events=EVENTS.rename(columns={"item": " item"}))
    assert message(tmp_path) == (
        f"{tmp_path}/interactions.csv: column ' item' has white space around its name: remove it, here and beside all "
        "separators"
    )
    write(tmp_path, events=EVENTS.rename(columns={"item": "ITEM"}))
    assert "there is no column 'item', the nearest is 'ITEM': set data.item_column to one of" in message(tmp_path)


def test_a_first_line_that_is_a_row_is_told(tmp_path: Path) -> None:
    EVENTS.to_csv(write(tmp_path) / "interactions.csv", index=False, header=False)
    assert message(tmp_path) == (
        f"{tmp_path}/interactions.csv: there is no column 'user': set data.user_column to one of u 1, a, 1; if the "
        "first line is a row already, put a line of names above it, such as user,item,timestamp, in the file's order"
    )


def test_a_first_line_that_names_other_columns_than_the_rows_have_is_told(tmp_path: Path) -> None:
    file = write(tmp_path) / "interactions.csv"
    file.write_text(file.read_text().replace("timestamp", "timestamp,rating"))
    assert f"{file}:1: the first line names 4 columns and the rows below have 3: correct 'user,item," in message(
        tmp_path
    )


def test_the_content_says_how_a_file_is_compressed(tmp_path: Path) -> None:
    write(tmp_path)
    packed, plain = gzip.compress((tmp_path / "items.csv").read_bytes()), (tmp_path / "interactions.csv").read_bytes()
    (tmp_path / "items.csv").write_bytes(packed)
    (tmp_path / "interactions.csv.gz").write_bytes(plain)
    assert histories(read(tmp_path, interactions="interactions.csv.gz")) == HISTORIES


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"PK\x03\x04", "a zip (a spreadsheet is one)"), (b"PAR1", "Parquet"), (b"\xfd7zXZ\x00", "compressed by xz")],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, start: bytes, said: str) -> None:
    (write(tmp_path) / "items.csv").write_bytes(start + bytes(20))
    assert f"{tmp_path}/items.csv: the file is {said} and no text" in message(tmp_path)


def test_ids_alone_need_no_items_file(tmp_path: Path) -> None:
    (write(tmp_path) / "items.csv").unlink()
    advice = message(tmp_path).rpartition("to train on ids alone, add: ")[2]
    words = ["data=table", f"data.root={tmp_path}", *advice.split()]
    catalogue = compose_settings(words).data.read(titles=[], images=[])
    assert histories(catalogue) == HISTORIES
    assert catalogue.items.titles is None
    with pytest.raises(ValueError, match="items=null has no columns"):
        source_of(tmp_path, items=None, text_columns=("title",))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_called_by_its_name(tmp_path: Path, encoding: str) -> None:
    EVENTS.to_csv(write(tmp_path) / "interactions.csv", index=False, encoding=encoding)
    assert message(tmp_path) == (
        f"{tmp_path}/interactions.csv: the file is UTF-16 and not UTF-8: save it as UTF-8 (spreadsheets call it CSV "
        "UTF-8), or convert it: iconv -f UTF-16 -t UTF-8"
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_duplicate_and_empty_item_rows_are_named(tmp_path: Path, suffix: str) -> None:
    first = 1 if suffix == ".parquet" else 2
    write(tmp_path, suffix, items=pd.concat([ITEMS, ITEMS.iloc[[1]]]))
    place = f"{tmp_path}/items{suffix}:{first + 5}"
    assert f"{place}: item 'b c' stands already in line {first + 1}: remove one" in message(tmp_path, suffix)
    write(tmp_path, suffix, items=ITEMS.assign(item=["a", " ", "NA", "007", ""]))
    found = message(tmp_path, suffix)
    assert f"{tmp_path}/items{suffix}:{first + 1}: item is empty (and 1 more such rows)" in found


@pytest.mark.parametrize(
    ("line", "content", "expected"),
    [
        (3, "u 1,b c,later", "timestamp is 'later', not a number as in other rows"),
        (3, "u 1,b c,", "timestamp is '', not a number as in other rows"),
        (3, "u 1,b c,1e999", "timestamp is '1e999', not a finite number"),
        (3, ",b c,2", "user is empty: fill it in, or remove the row"),
        (3, "u 1, ,2", "item is empty"),
        (3, "u 1,b c", "found 2 columns, expected 3 (user,item,timestamp): 'u 1,b c'"),
        (3, "u 1,b c,2,3", "found 4 columns, expected 3"),
        (3, "u 1,b\xff c,2", "byte 0xff is not UTF-8: save the file as UTF-8"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: int, content: str, expected: str) -> None:
    lines = (write(tmp_path) / "interactions.csv").read_bytes().split(b"\n")
    lines[line - 1] = content.encode("latin-1")
    (tmp_path / "interactions.csv").write_bytes(b"\n".join(lines))
    assert f"{tmp_path}/interactions.csv:{line}: {expected}" in message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_files_are_named(tmp_path: Path, content: bytes) -> None:
    (write(tmp_path) / "items.csv").write_bytes(content)
    assert f"{tmp_path}/items.csv: no header line; the first line names the columns" in message(tmp_path)


def test_a_header_alone_is_no_table(tmp_path: Path) -> None:
    (write(tmp_path) / "interactions.csv").write_text("user,item,timestamp\n")
    assert message(tmp_path) == f"{tmp_path}/interactions.csv: no rows below the header"
    pq.write_table(pa.table({"item": pa.array([], pa.string())}), tmp_path / "items.parquet")
    assert message(tmp_path, items="items.parquet") == f"{tmp_path}/items.parquet: the table has no rows"


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (write(tmp_path) / "interactions.csv").write_text("user,item,item\n")
    assert "2 columns are called 'item': rename all but one" in message(tmp_path)


def test_quotes_that_never_close_are_one_clear_error(tmp_path: Path) -> None:
    (write(tmp_path) / "items.csv").write_text('item,title\na,"two\nlines"\nb c,"open\nNA,y\n')
    found = message(tmp_path, text_columns=("title",))
    assert f"{tmp_path}/items.csv:4: a quote here is never closed" in found
    assert "double the quotes inside fields (RFC 4180)" in found


def test_a_quote_inside_a_field_and_a_long_field_are_text(tmp_path: Path) -> None:
    rows = ['"a",3/4" pipe', '"b c","' + "long " * 40_000 + '"', "NA,x", "", '007,"a ""b"""', '"é,1",y']
    (write(tmp_path) / "items.csv").write_text("\n".join(["item,title", *rows, ""]))
    titles = read(tmp_path, text_columns=("title",)).items.titles
    assert titles is not None
    assert [len(title) for title in titles] == [9, 199_999, 1, 5, 1]
    assert titles[0] == '3/4" pipe'
    assert titles[3] == 'a "b"'


def test_a_missing_time_and_a_global_split_are_refused_before_content_is_checked(tmp_path: Path) -> None:
    write(tmp_path)
    found = message(tmp_path, timestamp_column=None, split="global_time", text_columns=("title",))
    assert "data.split=global_time needs timestamps" in found
    assert "data.timestamp_column" in found


def test_line_ends_of_windows_and_a_byte_order_mark_are_tolerated(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("items.csv", "interactions.csv"):
        content = (tmp_path / name).read_bytes().replace(b"\n", b"\r\n")
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert histories(read(tmp_path)) == HISTORIES
