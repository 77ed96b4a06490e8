"""Several mistakes of one data set are one message, and what it says to add lets the run go on."""

from pathlib import Path

import pytest

from peftrec.data.source import DataSource
from peftrec.errors import DataError
from peftrec.settings.composition import compose_settings
from small_images import encoded

ADVICE = "to go on without all of this, add: "


def write(root: Path) -> list[str]:
    """Write a table with a mistake of every kind, and return the words that name it."""
    (root / "pictures").mkdir()
    titles = {f"i{item}": f"title {item}" for item in range(12)} | {"i3": "", "i4": " "}
    (root / "items.csv").write_text("\n".join(["item,title", *(f"{item},{text}" for item, text in titles.items())]))
    for number, item in enumerate(titles):
        if item != "i5":
            (root / "pictures" / f"{item}.png").write_bytes(encoded(number)[: 40 if item == "i7" else None])
    rows = [f"u{user},i{(user + step) % 12},{step}" for user in range(12) for step in range(9)]
    rows += ["u1,I1,20", "u2,zzz,20", rows[4], "short,i1,1", "short,i2,2"]
    (root / "interactions.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    return ["data=table", f"data.root={root}", "data.images=pictures"]


def source(words: list[str]) -> DataSource:
    return compose_settings(words).data


def refusal(words: list[str]) -> str:
    with pytest.raises(DataError) as caught:
        source(words).read(titles=["text"], images=["image"])
    return str(caught.value)


def test_all_mistakes_are_one_message_whose_overrides_work(tmp_path: Path) -> None:
    words = write(tmp_path)
    first, *mistakes, last = refusal(words).splitlines()
    assert first == "6 mistakes in this data, each with those above it dropped:"
    expected = [
        f"{tmp_path}/interactions.csv:110: item 'I1' has no row",
        f"{tmp_path}/interactions.csv:112: user 'u0' has item 'i4' at this time",
        f"{tmp_path}/interactions.csv:113: the history of user 'short' has 2 items",
        f"2 of 12 items with an empty title: {tmp_path}/items.csv:5 (item 'i3'), {tmp_path}/items.csv:6 (item 'i4')",
        f"1 of 10 items without an image: item 'i5' at {tmp_path}/pictures/i5.jpg",
        f"1 of 9 items with a corrupt image: item 'i7' at {tmp_path}/pictures/i7.png",
    ]
    for number, (line, start) in enumerate(zip(mistakes, expected, strict=True), start=1):
        assert line.startswith(f"  {number}. {start}")
    assert last.startswith(ADVICE)
    overrides = last.removeprefix(ADVICE).split()
    assert len(overrides) == 6
    catalogue = source([*words, *overrides]).read(titles=["text"], images=["image"])
    assert len(catalogue.interactions) == 12
    assert len(catalogue.interactions.occurring()) == 8


def test_a_mistake_alone_is_its_message_and_what_dropping_it_needs_too(tmp_path: Path) -> None:
    words = write(tmp_path)
    rest = ["data.unknown_items=drop", "data.repeated_interactions=drop", "data.missing_images=blank"]
    alone = [*words, *rest, "data.corrupt_images=blank", "data.short_histories=drop"]
    assert refusal(alone).count("\n") == 0
    needing = [*alone, "data.minimum_history=9", "data.short_histories=error"]
    (tmp_path / "interactions.csv").write_text(
        "\n".join(line for line in (tmp_path / "interactions.csv").read_text().splitlines() if "short" not in line)
    )
    mistake, advice = refusal(needing).splitlines()
    assert mistake.startswith("2 of 12 items with an empty title")
    assert advice == f"{ADVICE}data.empty_titles=drop data.short_histories=drop"
    assert (
        len(
            source([*needing, *advice.removeprefix(ADVICE).split()])
            .read(titles=["text"], images=["image"])
            .interactions
        )
        == 2
    )


def test_where_dropping_leaves_nobody_no_override_is_advised(tmp_path: Path) -> None:
    words = write(tmp_path)
    for picture in (tmp_path / "pictures").iterdir():
        picture.unlink()
    found = refusal([*words, "data.unknown_items=drop", "data.repeated_interactions=drop"])
    assert "10 of 10 items without an image" in found
    assert ADVICE not in found
    assert found.splitlines()[-1].startswith("with all of this dropped no user is left: mend the data, or choose")


@pytest.mark.parametrize(("policy", "tower"), [("empty_titles", "text"), ("missing_images", "image")])
def test_blanks_for_all_items_tell_none_from_another(tmp_path: Path, policy: str, tower: str) -> None:
    words = write(tmp_path)
    names = ["unknown_items", "repeated_interactions", "short_histories"]
    items = tmp_path / "items.csv"
    items.write_text("\n".join(line.partition(",")[0] + ("," if line[0] == "i" and line[1] != "t" else ",title")
                               for line in items.read_text().splitlines()))  # fmt: skip
    words = [*words, *(f"data.{name}=drop" for name in names), f"data.{policy}=blank", "data.images=none"]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=rf"all 12 items are with.*tell none from another: .*set towers\.{tower}=null"):
        source(words).read(titles=["text"] * (tower == "text"), images=["image"] * (tower == "image"))
