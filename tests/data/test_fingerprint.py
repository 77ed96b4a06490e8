"""Hashes follow what is learnt from and ranked, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peftrec.data.fingerprint import content_hashes, data_hash, hash_lines
from peftrec.data.interactions import Interactions
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import RankingCases, Split, split_catalogue

USERS = {"u": "a b c d e a b", "v": "b c d e f", "w": "f e d c b a"}


def write_data(folder: Path, *, titles: dict[str, str] | None = None, users: dict[str, str] = USERS) -> Path:
    (folder / "images").mkdir(parents=True)
    names = {item: f"thing {item}" for item in "abcdef"} | (titles or {})
    (folder / "items.tsv").write_text("".join(f"{item}\t{title}\n" for item, title in names.items()))
    (folder / "users.tsv").write_text("".join(f"{user}\t{history}\n" for user, history in users.items()))
    for number, item in enumerate(names):
        Image.new("RGB", (4, 4), (number, 2 * number, 99)).save(folder / "images" / f"{item}.png")
    return folder


def split_of(folder: Path, **settings: object) -> Split:
    source = IisanFiles(root=str(folder), images="images", **settings)
    return split_catalogue(source.read(titles=["text"], images=["image"]), source)


def lists(windows: Interactions) -> list[list[int]]:
    return [window.tolist() for window in windows]


def everything(split: Split) -> tuple[str, str, str]:
    content = content_hashes(split.items)
    return data_hash(split), content["text"], content["image"]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return split_of(write_data(tmp_path / "here"))


def test_where_the_files_lie_does_not_enter(split: Split, tmp_path: Path) -> None:
    elsewhere = split_of(write_data(tmp_path / "some" / "where else"))
    assert everything(elsewhere) == everything(split)


def test_a_title_changes_the_texts_hash_alone(split: Split, tmp_path: Path) -> None:
    other = split_of(write_data(tmp_path / "other", titles={"c": "thing C"}))
    assert [one == two for one, two in zip(everything(other), everything(split), strict=True)] == [True, False, True]


def test_an_image_changes_the_images_hash_alone(split: Split, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "other")
    Image.new("RGB", (4, 4), (200, 0, 0)).save(folder / "images" / "c.png")
    other = split_of(folder)
    assert [one == two for one, two in zip(everything(other), everything(split), strict=True)] == [True, True, False]


def test_the_order_of_the_candidates_enters(split: Split) -> None:
    turned = split.items.select(np.arange(len(split.items))[::-1])
    before, after = content_hashes(split.items), content_hashes(turned)
    assert before["text"] != after["text"]
    assert before["image"] != after["image"]
    assert data_hash(replace(split, items=turned)) != data_hash(split)


@pytest.mark.parametrize("user", ["u", "v", "w"])
@pytest.mark.parametrize("place", [0, -3, -2, -1])
def test_every_kept_interaction_enters(split: Split, tmp_path: Path, user: str, place: int) -> None:
    history = USERS[user].split()
    history[place] = "c" if history[place] != "c" else "d"
    other = split_of(write_data(tmp_path / "other", users=USERS | {user: " ".join(history)}))
    assert other.items.ids == split.items.ids
    assert data_hash(other) != data_hash(split)


def test_windows_and_their_length_enter(split: Split, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "other")
    hashes = [data_hash(split_of(folder, sequence_length=length, windows="all")) for length in (2, 3, 20)]
    assert len({*hashes, data_hash(split)}) == 4


def test_the_cut_of_the_windows_enters(split: Split) -> None:
    whole = lists(split.windows)
    assert len(whole[0]) >= 4
    elsewhere = [whole[0][:2], whole[0][2:], *whole[1:]]
    exchanged = [whole[0][::-1], *whole[1:]]
    assert whole[0] != whole[0][::-1]
    names = list(split.windows.users)

    def names_of(windows: list[list[int]]) -> list[str]:
        return names[:1] * (len(windows) - len(names)) + names  # a window more is the first user's

    hashes = [
        data_hash(replace(split, windows=Interactions.from_lists(names_of(windows), windows)))
        for windows in (whole, elsewhere, exchanged)
    ]
    assert hashes[0] == data_hash(split)
    assert len(set(hashes)) == 3


def test_the_names_of_users_enter(split: Split) -> None:
    """A finished run is asked by them: the same histories of others are another run."""
    renamed = tuple(f"x{user}" for user in split.windows.users)
    assert data_hash(replace(split, windows=replace(split.windows, users=renamed))) != data_hash(split)
    histories = replace(split.test.histories, users=tuple(f"x{user}" for user in split.test.histories.users))
    assert data_hash(replace(split, test=replace(split.test, histories=histories))) != data_hash(split)


def test_times_enter_where_they_are_read(split: Split) -> None:
    times = np.arange(len(split.windows.items))
    timed = replace(split, windows=replace(split.windows, times=times))
    assert data_hash(timed) == data_hash(split)
    assert data_hash(timed, with_times=True) != data_hash(split, with_times=True)


@pytest.mark.parametrize("which", ["validation", "test"])
def test_targets_enter(split: Split, which: str) -> None:
    cases: RankingCases = getattr(split, which)
    targets = cases.targets.copy()
    targets[0] = (targets[0] + 1) % len(split.items)
    assert data_hash(replace(split, **{which: replace(cases, targets=targets)})) != data_hash(split)


def test_an_absent_modality_has_no_hash(split: Split) -> None:
    assert set(content_hashes(split.items)) == {"text", "image"}
    assert set(content_hashes(replace(split.items, images=None))) == {"text"}
    assert set(content_hashes(replace(split.items, titles=None))) == {"image"}


def test_a_separator_inside_a_line_does_not_make_two_lines() -> None:
    spellings = [["a", "b"], ["ab"], ["a,b"], ["a\nb"], ['a", "b'], ["a", "b", ""], ["b", "a"]]
    assert len({hash_lines(lines) for lines in spellings}) == len(spellings)
    assert hash_lines(("a", "b")) == hash_lines(["a", "b"])
