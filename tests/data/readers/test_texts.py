"""Texts beside the title: what is read under which name, what becomes of an item without one, and what is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.fingerprint import content_hashes, data_hash
from peftrec.data.readers.recbole import RecBoleFiles
from peftrec.data.readers.table import TableFiles
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import DataError, SettingsError
from peftrec.settings.composition import compose_settings
from small_datasets import source_of, write_dataset

ITEMS = pd.DataFrame(
    {
        "item": list("abcdef"),
        "title": [f"thing {item}" for item in "abcdef"],
        "brand": ["Acme", "", "Nib", "Acme", "", "Nib"],
        "about": ["", "Two  &amp; three", "Blue", "", "Red", " "],
    }
)
HISTORIES = {"u": "abcdefa", "v": "bcdefb", "w": "fbcedcb"}
EVENTS = pd.DataFrame(
    [(user, item, time) for user, items in HISTORIES.items() for time, item in enumerate(items)],
    columns=["user", "item", "timestamp"],
)
READ = {"long": ["second"]}
BLANK = ("", "Two & three", "Blue", "", "Red", "")


def table(root: Path, suffix: str = ".csv", **fields: Any) -> TableFiles:
    for name, frame in (("items", ITEMS), ("interactions", EVENTS)):
        if suffix == ".parquet":
            frame.to_parquet(root / f"{name}{suffix}", index=False)
        else:
            frame.to_csv(root / f"{name}{suffix}", index=False, sep="\t" if suffix == ".tsv" else ",")
    names = {"items": f"items{suffix}", "interactions": f"interactions{suffix}"}
    return TableFiles(**{"root": str(root), **names, "texts": {"long": ("about",)}, "empty_texts": "blank", **fields})


def read(source: TableFiles) -> Catalogue:
    return source.read(titles=["text"], images=[], texts=READ)


def cut(source: TableFiles, **further: Any) -> Split:
    return split_catalogue(source.read(titles=["text"], images=[], **further), source)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_further_text_is_cleaned_as_titles_are_and_stands_beside_them(tmp_path: Path, suffix: str) -> None:
    catalogue = read(table(tmp_path, suffix))
    assert catalogue.items.texts == {"long": BLANK}
    assert catalogue.items.text("long") == BLANK
    assert catalogue.items.titles == catalogue.items.text("title") == tuple(ITEMS["title"])
    assert catalogue.counts == {"texts_blank_long": 3}


def test_several_columns_become_one_text_and_may_be_the_titles_too(tmp_path: Path) -> None:
    source = table(tmp_path, texts={"long": ("title", "about"), "brand": ("brand",)})
    catalogue = source.read(titles=["text"], images=[], texts={"long": ["a"], "brand": ["b"]})
    assert catalogue.items.texts["long"][:3] == ("thing a", "thing b. about: Two & three", "thing c. about: Blue")
    assert catalogue.items.texts["brand"] == tuple(ITEMS["brand"])


def test_items_without_one_follow_a_policy_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read(table(tmp_path, empty_texts="error"))
    said = str(raised.value)
    assert "3 of 6 items with an empty long: " in said
    assert f"{tmp_path}/items.csv:2 (item 'a')" in said
    assert "data.empty_texts=drop" in said
    assert "data.empty_texts=blank" in said
    assert "towers.second=null" in said
    dropped = read(table(tmp_path, empty_texts="drop", minimum_history=4, short_histories="drop"))
    assert dropped.counts == {"items_dropped_empty_long": 3, "users_dropped_short_history": 1}
    assert set(dropped.interactions.items.tolist()) == {1, 2, 4}


def test_texts_that_are_all_empty_tell_nothing_apart(tmp_path: Path) -> None:
    source = table(tmp_path)
    ITEMS.assign(about="").to_csv(tmp_path / "items.csv", index=False)
    with pytest.raises(DataError, match=r"all 6 items are with an empty long, .* or set towers\.second=null"):
        read(source)


def test_a_text_that_no_tower_reads_changes_nothing(tmp_path: Path) -> None:
    """Not even where items lack it."""
    source, plain = table(tmp_path, empty_texts="drop"), table(tmp_path, texts={})
    unread, without = cut(source), cut(plain)
    assert data_hash(unread) == data_hash(without)
    assert content_hashes(unread.items) == content_hashes(without.items)
    assert unread.items.texts == {}


def test_data_without_further_texts_has_the_hashes_that_it_had(tmp_path: Path) -> None:
    """Taken before there could be any: finished runs are found by them."""
    split = cut(table(tmp_path, texts={}))
    assert data_hash(split) == "c6755d4ec0c2ca0e4126fbb93d8509a7d82049c1d3f966c91621de215e9ed721"
    assert content_hashes(split.items, {"text": "title", "second": "title"}) == dict.fromkeys(
        ("text", "second"), "b244842942bd8310665ebdb953b902dc92eb32eefeb686d1928331f4898530a5"
    )


def test_each_tower_has_the_hash_of_the_text_that_it_reads(tmp_path: Path) -> None:
    items = cut(table(tmp_path), texts=READ).items
    titles = content_hashes(items)["text"]
    hashes = content_hashes(items, {"text": "title", "second": "long"})
    assert hashes == {"text": titles, "second": hashes["second"]}
    assert hashes["second"] != titles
    assert content_hashes(items, {"text": "long"}) == {"text": hashes["second"]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data.texts.title=[about]"], r"data\.texts\.title: a further text has a name .* choose another"),
        (["data.texts.image=[about]"], r"data\.texts\.image: .* choose another"),
        (["data.texts._target_=about"], r"data\.texts\._target_: .* a letter first, .* choose another"),
        (["data.texts={a b: [about]}"], r"data\.texts\.a b: .* choose another"),
        (["data.texts.long=[]"], r"data\.texts\.long: expected a list with at least 1 item"),
        (["data.texts.long=3"], r"data\.texts\.long: expected a list, got 3"),
        (["data.texts.a=about", "data.texts.long=[about,3]"], r"^data\.texts\.long\.1: expected text, got 3$"),
        (["data.texts=about"], r"^data\.texts: expected a group of keys, got \"about\"$"),
        (["data.items=null", "data.text_columns=[]", "data.texts.long=about"], r"items=null has no columns"),
    ],
)
def test_a_mistake_in_a_name_is_told_before_anything_is_read(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        compose_settings(["data=table", "data.root=none", *words])


def test_a_missing_column_is_told_with_the_key_that_names_it(tmp_path: Path) -> None:
    source = table(tmp_path, texts={"long": ("abuot",)})
    with pytest.raises(DataError, match=r"no column 'abuot', the nearest is 'about': set data\.texts\.long to one of"):
        read(source)


def test_one_column_needs_no_brackets() -> None:
    words = ["data=table", "data.root=none"]
    one, listed = (compose_settings([*words, f"data.texts.long={said}"]) for said in ("about", "[about]"))
    assert one.data == listed.data
    assert one.data.further_texts == ("long",)


def test_recboles_fields_may_be_further_texts(tmp_path: Path) -> None:
    (tmp_path / "t.item").write_text(
        "item_id:token\ttitle:token_seq\tabout:token_seq\n"
        + "".join(f"{item}\tthing {item}\tred {item}\n" for item in "abcde")
    )
    (tmp_path / "t.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"u\t{item}\t{time}\n" for time, item in enumerate("abcde"))
    )
    source = RecBoleFiles(root=str(tmp_path), dataset="t", texts={"long": ("about", "title")})
    items = source.read(titles=["text"], images=[], texts=READ).items
    assert items.texts["long"][0] == "red a. title: thing a"
    with pytest.raises(DataError, match="'abut'"):
        RecBoleFiles(root=str(tmp_path), dataset="t", texts={"long": ("abut",)}).read(titles=["text"], images=[])


@pytest.mark.parametrize(
    ("name", "column", "first", "keys"),
    [
        ("pixelrec", "description", "Ten minutes", {}),
        ("amazon_2023", "features", "soft washable", {}),
        ("amazon_2018", "brand", "Clean", {}),
        ("amazon_2014", "brand", "Cups", {}),
        ("hm", "detail_desc", "Jersey top, narrow 0", {"text_fields": "[prod_name]"}),
        ("ninerec", "chinese", "文1", {}),
        ("ninerec", "chinese", "文1", {"dataset": "QB", "images": "null"}),
    ],
)
def test_data_sets_by_name_have_their_columns(
    tmp_path: Path, name: str, column: str, first: str, keys: dict[str, str]
) -> None:
    source = source_of(name, write_dataset(name, tmp_path), {"texts.long": f"[{column}]", **keys})
    items = source.read(titles=["text"], images=[], texts=READ).items
    assert items.texts["long"][0] == first
    assert items.titles is not None
    assert items.titles[0] != first
    assert source.keeps_empty_texts
