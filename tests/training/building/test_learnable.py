"""Data from which nothing can be learnt is refused, or said before training; other data is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peftrec.data.catalogue import Catalogue
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.split import Split, split_catalogue
from peftrec.data.synthetic.pictures import RenderedPictures
from peftrec.errors import DataError, SettingsError
from peftrec.results.record import read_record
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content_to_learn
from peftrec.training.building.learnable import check_learnable
from peftrec.training.building.loaders import mean_negatives
from peftrec.training.building.reading import prepare_data
from peftrec.training.run.pipeline import train_run
from small_runs import small_config, small_settings


def settings_of(**changes: Any) -> Settings:
    return small_settings(Path("unwritten"), "id", **changes)


def split_of(*histories: list[int], counts: dict[str, int] | None = None) -> Split:
    number = max(map(max, histories)) + 1
    ids = tuple(f"i{item}" for item in range(number))
    users = [f"u{user}" for user in range(len(histories))]
    interactions = Interactions.from_lists(users, histories)
    catalogue = Catalogue(
        items=Items(ids=ids, titles=None, images=None), interactions=interactions, counts=counts or {}
    )
    return split_catalogue(catalogue, settings_of().data)


def found_in(split: Split, **changes: Any) -> list[str]:
    settings = settings_of(**changes)
    return check_learnable(split, settings.evaluation, negatives_per_positive=mean_negatives(settings, split, 1))


MANY = [list(range(start, start + 6)) for start in range(8)]


def test_data_that_can_be_learnt_from_needs_no_word() -> None:
    assert found_in(split_of(*MANY)) == []


def test_one_item_is_refused() -> None:
    with pytest.raises(DataError, match="1 item is left to rank"):
        found_in(split_of([0] * 5, [0] * 6))


@pytest.mark.parametrize("histories", [[[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]], [[0, 1, 2, 3, 2, 1]] * 3])
def test_targets_that_all_stand_in_the_histories_are_refused(histories: list[list[int]]) -> None:
    split = split_of(*histories)
    with pytest.raises(DataError, match=r"all \d validation targets stand in.*set evaluation.mask_history=") as caught:
        found_in(split)
    key, _, value = str(caught.value).rpartition("set ")[2].partition("=")
    assert found_in(split, evaluation={key.removeprefix("evaluation."): value})


def test_test_targets_alone_are_named() -> None:
    with pytest.raises(DataError, match="all 2 test targets stand"):
        found_in(split_of([0, 1, 2, 3, 4, 0], [5, 6, 7, 8, 9, 5]))


@pytest.mark.parametrize(
    ("histories", "users"),
    [([list(range(12))], "1 user in training, 12 items"), ([list(range(12))] * 5, "5 users in training, 12 items")],
)
def test_no_negatives_are_said(histories: list[list[int]], users: str) -> None:
    (warning,) = found_in(split_of(*histories))
    assert warning.startswith("nothing can be learnt by a loss over the items of a batch")
    assert users in warning


@pytest.mark.parametrize(("number", "said"), [(8, "hr@10 is 1 for"), (5, "every hr is 1 for"), (12, None)])
def test_few_items_are_said(number: int, said: str | None) -> None:
    histories = [[0, 1, 0, *range(2, number - 2)], [number - 1, number - 2, number - 3, number - 4, 0]]
    found = found_in(split_of(*histories), evaluation={"mask_history": "none"})
    assert bool(found) == (said is not None)
    assert said is None or f"{number} items are ranked, so that {said}" in found[0]


def test_features_of_zeros_are_said() -> None:
    (warning,) = found_in(split_of(*MANY, counts={"text_features_of_zeros": 3}))
    assert warning == "3 of the items in histories have text features of zeros, which tell none from another"


@pytest.mark.parametrize(
    ("titles", "text", "said"),
    [
        (None, {"max_tokens": 2}, r"towers.text.max_tokens=2 cuts the rest off; raise it"),
        ("a lamp", {}, r"because they are the same: 'a lamp'; mend the data, or set towers.text=null"),
        ("日本", {}, r"towers.text.tokenizer does not know their words"),
    ],
)
def test_titles_that_are_the_same_to_the_tower_are_refused(
    tmp_path: Path, titles: str | None, text: dict[str, Any], said: str
) -> None:
    settings = small_settings(
        tmp_path,
        towers={"text": {**small_config(tmp_path)["towers"]["text"], **text}, "image": None},
        data={"num_items": 100, "num_users": 8},
    )
    items = prepare_data(settings).items
    if titles is not None:
        unknown = [f"{titles}{chr(0x4E00 + number)}" for number in range(len(items))] if "日" in titles else []
        items = Items(ids=items.ids, titles=tuple(unknown or [titles] * len(items)), images=None)
    with pytest.raises(SettingsError, match=rf"all \d+ titles are the same \d+ tokens to the text tower.*{said}"):
        load_content_to_learn(settings, items, keep_bytes=0)


@pytest.mark.parametrize("keep_bytes", [0, 2**30])
def test_images_that_are_the_same_to_the_tower_are_refused(tmp_path: Path, keep_bytes: int) -> None:
    settings = small_settings(tmp_path, towers={"text": None})
    ids = ("a", "b", "c")
    coloured = np.zeros((3, 16, 16, 3), dtype=np.uint8)
    same = Items(ids=ids, titles=None, images=RenderedPictures(coloured))
    said = r"all 3 images are the same to the image tower \(images resized to 16 x 16\).*set towers.image=null"
    with pytest.raises(SettingsError, match=said):
        load_content_to_learn(settings, same, keep_bytes=keep_bytes)
    load_content_to_learn(settings, same.select(np.array([0])), keep_bytes=keep_bytes)  # one is refused elsewhere
    coloured[1] = 7
    load_content_to_learn(settings, same, keep_bytes=keep_bytes)


def test_a_run_says_so_first_and_one_without_a_figure_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peftrec.training.run.pipeline.prepare_data", lambda _: split_of(list(range(12))))
    changes: dict[str, Any] = {"trainer": {"max_epochs": 1}}
    outcome = train_run(small_settings(tmp_path, "id", **changes))
    assert capsys.readouterr().err.splitlines()[0].startswith("warning: nothing can be learnt by a loss")
    assert read_record(outcome.run_directory).epochs[0].training_loss == 0, "what was said is true"
    monkeypatch.setattr("peftrec.training.run.pipeline.prepare_data", lambda _: split_of([0, 1, 0, 1, 0]))
    with pytest.raises(DataError, match="targets stand in the histories"):
        train_run(small_settings(tmp_path / "none", "id", **changes))
    assert not (tmp_path / "none").exists()
