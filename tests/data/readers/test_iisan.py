"""The published layout: what is read, and one clear message for every bad input."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peftrec.data.catalogue import Catalogue
from peftrec.data.images.decoding import BLANK_COLOUR
from peftrec.data.readers.iisan import IisanFiles
from peftrec.errors import DataError

ITEMS = ["i1\tFirst", "i2\tSecond", "i3\tThird", "i4\tFourth", "i5\tFifth", "i6\tNever bought"]
USERS = ["u1\ti1 i2 i3 i4 i5", "u2\ti5 i4 i3 i2 i1 i5", "u3\ti2 i2 i3 i4 i5"]


def picture(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(stream, "png")
    return stream.getvalue()


def write(root: Path, items: list[str] = ITEMS, users: list[str] = USERS) -> Path:
    (root / "items.tsv").write_bytes("".join(f"{line}\n" for line in items).encode())
    (root / "users.tsv").write_bytes("".join(f"{line}\n" for line in users).encode())
    (root / "images").mkdir(exist_ok=True)
    for number in range(1, 6):
        (root / "images" / f"i{number}.png").write_bytes(picture(number))
    return root


def read(root: Path, *, text: bool = True, images: bool = True, **fields: Any) -> Catalogue:
    return IisanFiles(root=str(root), images="images", **fields).read(titles=["text"] * text, images=["image"] * images)


def message(root: Path, **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **fields)
    return str(caught.value)


def replaced(lines: list[str], number: int, line: str) -> list[str]:
    return [*lines[: number - 1], line, *lines[number:]]


def test_files_become_a_catalogue(tmp_path: Path) -> None:
    catalogue = read(write(tmp_path))
    assert catalogue.items.ids == ("i1", "i2", "i3", "i4", "i5", "i6")
    assert catalogue.items.titles is not None
    assert catalogue.items.titles[1] == "Second"
    assert catalogue.interactions.users == ("u1", "u2", "u3")
    assert [history.tolist() for history in catalogue.interactions] == [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0, 4],
        [1, 1, 2, 3, 4],
    ]
    assert catalogue.items.images is not None
    assert catalogue.items.images.load(2).getpixel((0, 0)) == (3, 3, 3)
    assert catalogue.counts == {}


def test_titles_are_unescaped_and_quotes_are_text(tmp_path: Path) -> None:
    items = replaced(ITEMS, 2, "i2\t  3/4\"  Pipe &amp; &quot;Tee&quot;\u2028 &nbsp; 'M8 ")
    titles = read(write(tmp_path, items)).items.titles
    assert titles is not None
    assert titles[1] == '3/4" Pipe & "Tee" \'M8'
    assert titles[2] == "Third"


def test_windows_line_ends_byte_order_mark_and_last_lines_are_tolerated(tmp_path: Path) -> None:
    expected = read(write(tmp_path))
    for name in ("items.tsv", "users.tsv"):
        content = (tmp_path / name).read_bytes().replace(b"\n", b"\r\n")
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content + b"\r\n\n")
    again = read(tmp_path)
    assert (again.items.ids, again.items.titles) == (expected.items.ids, expected.items.titles)
    np.testing.assert_array_equal(again.interactions.items, expected.interactions.items)
    (tmp_path / "users.tsv").write_bytes("\n".join(USERS).encode())
    assert len(read(tmp_path).interactions) == len(USERS)


def test_missing_root_and_files_name_their_key(tmp_path: Path) -> None:
    assert message(tmp_path / "nowhere") == f"{tmp_path}/nowhere: no such folder: correct data.root"
    write(tmp_path)
    assert "items.tsv: not a folder: correct data.root" in message(tmp_path / "items.tsv")
    found = message(tmp_path, items="item.tsv")
    assert f"{tmp_path}/item.tsv: no such file: correct data.items" in found
    assert "images, items.tsv, users.tsv" in found
    (tmp_path / "users.tsv").unlink()
    assert f"{tmp_path}/users.tsv: no such file: correct data.users" in message(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "content", "expected"),
    [
        ("items.tsv", 3, b"i3 Third", "found 1 tab-separated column, expected 2 (item<TAB>title): 'i3 Third'"),
        ("items.tsv", 2, b"i2\tSec\tond", "found 3 tab-separated columns, expected 2"),
        ("items.tsv", 2, b"", "found 1 tab-separated column"),
        ("users.tsv", 2, b"u2 i1 i2", "found 1 tab-separated column, expected 2 (user<TAB>item item ...)"),
        ("items.tsv", 4, b"i4\tCaf\xe9", "byte 0xe9 is not UTF-8: save the file as UTF-8"),
        ("users.tsv", 2, b"u2\ti1 i2 \xff", "byte 0xff is not UTF-8"),
        (
            "users.tsv",
            2,
            b"u2\ti1 i2 i3 i4 i55",
            "item 'i55' has no row in {root}/items.tsv; the nearest id there is 'i5'",
        ),
        ("items.tsv", 5, b"i2\tAgain", "item 'i2' stands already in line 2: remove one"),
        ("users.tsv", 3, b"u1\ti1 i2 i3 i4 i5", "user 'u1' stands already in line 1: remove one"),
        ("items.tsv", 5, b"\tNo id", "the item id is empty"),
        ("users.tsv", 3, b" \ti1 i2 i3 i4 i5", "the user id is empty"),
        ("items.tsv", 6, b"i 6\tSpaced", "the item id 'i 6' holds white space"),
        (
            "users.tsv",
            2,
            b"u2\t",
            "the history of user 'u2' is empty, at least 5 are needed: set data.short_histories=drop",
        ),
        ("items.tsv", 2, b"i2\t &nbsp; ", "(item 'i2'); mend the data, or set data.empty_titles=drop"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, line: int, content: bytes, expected: str) -> None:
    write(tmp_path)
    lines = (tmp_path / name).read_bytes().split(b"\n")
    (tmp_path / name).write_bytes(b"\n".join([*lines[: line - 1], content, *lines[line:]]))
    found = message(tmp_path)
    assert f"{tmp_path / name}:{line}" in found
    assert expected.format(root=tmp_path) in found


@pytest.mark.parametrize("name", ["items.tsv", "users.tsv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (write(tmp_path) / name).write_bytes(content)
    assert f"{tmp_path / name}: the file is empty; expected lines of" in message(tmp_path)


def test_many_unknown_items_are_counted_and_a_header_is_suspected(tmp_path: Path) -> None:
    found = message(write(tmp_path, users=["user\titem_list", *USERS, "u4\tx y z"]))
    assert "users.tsv:1: item 'item_list' has no row" in found
    assert "if it is a header, remove it" in found
    assert "in all 4 such entries: 'item_list' in line 1, 'x' in line 5, 'y' in line 5 and 1 more" in found
    assert "the history of user 'user' has no items left of 1, at least 5 are needed" in found


def test_short_histories_are_refused_or_dropped(tmp_path: Path) -> None:
    write(tmp_path, users=[*USERS, "u4\ti1 i2 i3 i4", "u5\ti1 i2 i3", "u6\t"])
    found = message(tmp_path)
    assert "users.tsv:4: the history of user 'u4' has 4 items, at least 5 are needed" in found
    assert "(3 such users, lines 4, 5, 6)" in found
    assert "data.short_histories=drop" in found
    catalogue = read(tmp_path, short_histories="drop")
    assert catalogue.interactions.users == ("u1", "u2", "u3")
    assert catalogue.counts == {"users_dropped_short_history": 3}
    write(tmp_path, users=[*USERS, "u5\ti1 i2 i3 i4"])
    assert message(tmp_path).endswith("set data.short_histories=drop or data.minimum_history=4")
    assert len(read(tmp_path, minimum_history=4).interactions) == 4


def test_no_user_left_is_an_error(tmp_path: Path) -> None:
    found = message(write(tmp_path), short_histories="drop", minimum_history=9)
    assert "users.tsv: no user is left: the longest history has 6 items, data.minimum_history=9 are needed" in found


def test_images_that_the_data_lacks_are_refused_before_any_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set data\.images=.* or towers\.image=null"):
        IisanFiles(root=str(tmp_path)).read(titles=["text"], images=["image"])
    posters = IisanFiles(root=str(write(tmp_path)), images="posters")
    with pytest.raises(DataError, match=r"posters: no such folder, zip or LMDB of images: correct data\.images"):
        posters.read(titles=["text"], images=["image"])


def test_missing_images_follow_their_policy(tmp_path: Path) -> None:
    write(tmp_path, users=[*USERS, "u4\ti3 i3 i3 i3 i3"])
    (tmp_path / "images" / "i1.png").unlink()
    found = message(tmp_path)
    assert f"1 of 5 items without an image: item 'i1' at {tmp_path}/images/i1.jpg (or .jpeg, .png, .webp, " in found
    assert "data.missing_images=drop" in found
    assert "data.missing_images=blank" in found

    blanked = read(tmp_path, missing_images="blank")
    assert blanked.counts == {"images_blanked_missing": 1}
    assert blanked.items.images is not None
    assert blanked.items.images.load(0).getpixel((0, 0)) == BLANK_COLOUR

    found = message(tmp_path, missing_images="drop")
    assert "users.tsv:1: the history of user 'u1' has 4 items left of 5" in found
    assert "after items_dropped_missing_image=1" in found
    dropped = read(tmp_path, missing_images="drop", short_histories="drop")
    assert dropped.counts == {"users_dropped_short_history": 1, "items_dropped_missing_image": 1}
    assert dropped.interactions.users == ("u2", "u3", "u4")
    assert dropped.interactions[0].tolist() == [4, 3, 2, 1, 4]
    assert dropped.interactions[2].tolist() == [2, 2, 2, 2, 2]


def test_corrupt_images_follow_their_policy(tmp_path: Path) -> None:
    (write(tmp_path) / "images" / "i1.png").write_bytes(picture(1)[:45])
    found = message(tmp_path)
    assert f"1 of 5 items with a corrupt image: item 'i1' at {tmp_path}/images/i1.png" in found
    assert "data.corrupt_images=drop" in found
    assert "data.corrupt_images=blank" in found
    assert read(tmp_path, corrupt_images="blank").counts == {"images_blanked_corrupt": 1}
    dropped = read(tmp_path, corrupt_images="drop", short_histories="drop")
    assert dropped.counts == {"users_dropped_short_history": 1, "items_dropped_corrupt_image": 1}


def test_empty_titles_follow_their_policy(tmp_path: Path) -> None:
    write(tmp_path, replaced(ITEMS, 2, "i2\t"))
    blanked = read(tmp_path, empty_titles="blank")
    assert blanked.counts == {"titles_blank": 1}
    assert blanked.items.titles is not None
    assert blanked.items.titles[1] == ""
    dropped = read(tmp_path, empty_titles="drop", minimum_history=4, short_histories="drop")
    assert dropped.counts == {"items_dropped_empty_title": 1, "users_dropped_short_history": 1}
    assert dropped.interactions.users == ("u1", "u2")
    assert dropped.interactions[0].tolist() == [0, 2, 3, 4]


def test_only_what_is_needed_is_checked(tmp_path: Path) -> None:
    write(tmp_path, replaced(replaced(ITEMS, 6, "i6\t"), 2, "i2\t"))
    (tmp_path / "images" / "i6.png").write_bytes(b"corrupt, and never bought")
    assert read(tmp_path, text=False).counts == {}
    (tmp_path / "images" / "i1.png").unlink()
    catalogue = read(tmp_path, text=False, images=False)
    assert catalogue.items.images is None


def test_utf16_is_called_by_its_name(tmp_path: Path) -> None:
    (write(tmp_path) / "items.tsv").write_bytes("\n".join(ITEMS).encode("utf-16"))
    assert message(tmp_path).startswith(f"{tmp_path}/items.tsv: the file is UTF-16 and not UTF-8: save it as UTF-8")
