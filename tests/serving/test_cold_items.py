"""New items from title and image alone: a copy of a known item is encoded as the item is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peftrec.errors import DataError, SettingsError
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.serving.cold_items import encode_cold_items, read_cold_items
from peftrec.serving.recommending import recommend
from peftrec.training.run.restored_run import RestoredRun
from recommend_requests import read_request

pytestmark = pytest.mark.integration

RUNS = [
    *(("full", None), ("iisan", None), ("iisan_cached", None), ("lora_cached", None)),
    *(("iisan_cached", "image"), ("full", "text")),
]
Restore = Callable[..., RestoredRun]


def copies_of(run: RestoredRun, tables: Path, folder: Path, rows: list[int]) -> Path:
    """Write a table of new items with the content of known ones."""
    lines = ["item\ttitle\timage"]
    for row in rows:
        item = run.split.items.ids[row]
        shutil.copy(tables / "images" / f"{item}.png", folder / f"copy-{row}.png")
        titles = run.split.items.titles
        assert titles is not None
        lines.append(f"new-{row}\t{titles[row]}\tcopy-{row}.png")
    file = folder / "new.tsv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(("strategy", "without"), RUNS)
def test_a_copy_has_the_embedding_of_the_original(
    strategy: str, without: str | None, restored: Restore, tables: Path, tmp_path: Path
) -> None:
    run = restored(strategy, without=without)
    rows = [17, 3, 30]
    items = read_cold_items(copies_of(run, tables, tmp_path, rows), run.settings, known=run.split.items.ids)
    assert (items.titles is None, items.images is None) == (without == "text", without == "image")
    embeddings = encode_cold_items(run, items)
    np.testing.assert_allclose(embeddings, ServedCatalogue.of(run).embeddings[rows], atol=1e-5)


@pytest.mark.parametrize("words", [(), ("profile=pinnersage",)])
def test_a_copy_is_ranked_with_its_original(
    words: tuple[str, ...], restored: Restore, tables: Path, tmp_path: Path
) -> None:
    from peftrec.config.composition import compose_part
    from peftrec.profiles.settings import ProfileSettings

    run = restored("iisan_cached")
    file = copies_of(run, tables, tmp_path, list(range(len(run.split.items))))
    request = read_request([f"run={run.directory}", "user=u1", "k=40", "seen=true", f"candidates={file}"])
    settings = compose_part(ProfileSettings, words, folder="profiles") if words else None
    answer = recommend(request, settings)
    scores = {each.item: each.score for each in answer.recommendations}
    pairs = [(item, f"new-{row}") for row, item in enumerate(run.split.items.ids) if f"new-{row}" in scores]
    assert len(pairs) >= 15
    for original, copy in pairs:
        if original in scores:
            assert scores[copy] == pytest.approx(scores[original], abs=1e-5)
    assert {each.item for each in answer.recommendations if each.is_new} == {copy for _, copy in pairs}
    assert "(new)" in answer.to_text()


def test_what_cannot_know_new_items_says_why(restored: Restore, tmp_path: Path) -> None:
    run = restored("id")
    with pytest.raises(SettingsError, match="strategy=id knows items by their ids alone"):
        read_cold_items(tmp_path / "new.tsv", run.settings, known=())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item\tname\timage\na\tb\tc.png\n", r"new.tsv:1: expected one column 'title', found item, name, image"),
        ("item\ttitle\timage\nm3\tb\tfine.png\n", r"new.tsv:2: item 'm3' is in the catalogue already"),
        ("item\ttitle\timage\na\tb\tfine.png\na\tb\tfine.png\n", r"new.tsv:3: item 'a' stands already in line 2"),
        ("item\ttitle\timage\na\t \tfine.png\n", r"new.tsv:2: the title is empty"),
        ("item\ttitle\timage\na\tb\tgone.png\n", r"new.tsv:2: there is no image at"),
        ("item\ttitle\timage\na\tb\tfine.png\nb\tc\tbroken.png\n", r"new.tsv:3: .*broken.png"),
        ("item\ttitle\timage\na\tb\n", r"new.tsv:2: found 2 columns, expected 3"),
        ("item\ttitle\timage\n", r"no rows below the header"),
    ],
)
def test_faults_name_their_line(content: str, message: str, restored: Restore, tmp_path: Path) -> None:
    run = restored("full")
    Image.new("RGB", (16, 16)).save(tmp_path / "fine.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "new.tsv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_cold_items(tmp_path / "new.tsv", run.settings, known=run.split.items.ids)


def test_the_suffix_tells_the_format(restored: Restore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"name it .csv or .tsv"):
        read_cold_items(tmp_path / "new.xlsx", restored("full").settings, known=())
