"""Items that nobody has met yet: a table of texts and images, encoded as the run encodes its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ItemBatch
from peftrec.data.choices import TITLE
from peftrec.data.images.checking import corrupt_images
from peftrec.data.images.decoding import DEFAULT
from peftrec.data.images.folder import FolderImages
from peftrec.data.items import Items
from peftrec.data.readers.base import FileSource
from peftrec.data.readers.delimited import DelimitedFile
from peftrec.data.readers.formats import DIALECTS
from peftrec.data.readers.screening import clean_text
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.data.tables.tables import refuse_bad_ids
from peftrec.errors import DataError, SettingsError
from peftrec.models.towers.towers import Towers
from peftrec.serving.catalogue import require_finite
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content, load_towers
from peftrec.training.encoding import encode_items
from peftrec.training.new_items import with_states
from peftrec.training.run.restored_run import RestoredRun

KEY = "candidates"
ITEM, IMAGE = "item", "image"
"""Columns of the table, beside one for each text that is read, under its name; paths of images are below its folder,
those of a DataFrame below the current one."""
FRAME = Path("DataFrame")
"""What stands in messages for the file of a table that is in memory; `DataFrame:0` is its first row."""


def read_cold_items(given: Path | pd.DataFrame, settings: Settings, *, known: Sequence[str]) -> Items:
    """Read the columns that the run's towers need, and check ids, texts and images; `known` are ids that are taken.

    Raises SettingsError where the run cannot know new items, DataError that names the line of what is wrong.
    """
    check_can_know_items(settings)
    towers = settings.towers
    needed = [ITEM, *towers.text_readers, *([IMAGE] if towers.image_encoders else [])]
    table = _of_frame(given, needed) if isinstance(given, pd.DataFrame) else _read_table(given, needed)
    ids = _ids(table, known)
    texts = {name: _texts(table, name, settings) for name in towers.text_readers}
    return Items(
        ids=ids,
        titles=texts.pop(TITLE, None),
        texts=texts,
        images=_images(table, settings) if towers.image_encoders else None,
    )


def towers_for_new_items(run: RestoredRun) -> Towers | None:
    """Load the towers that a run's store stands in for; None where the run holds its own."""
    if run.settings.strategy.states != "store":
        return None
    return load_towers(run.settings, with_weights=True).to(run.device).eval()


def as_it_is() -> None:
    """Leave a run's model as it is."""


def encode_cold_items(
    run: RestoredRun,
    items: Items,
    towers: Towers | None = None,
    models: Sequence[Callable[[], None]] = (as_it_is,),
) -> Float[np.ndarray, "item dim"]:
    """Encode items that the run has never seen, with its towers; where its strategy reads a store, from the states that
    `towers_for_new_items` compute now, which are loaded unless they are given. Each of `models` changes the run's model
    into another, on the same such states, whose numbers stand side by side."""
    content = load_content(run.settings.towers, items, keep_bytes=0)
    towers = towers_for_new_items(run) if towers is None else towers

    def embed(batch: ItemBatch) -> Float[Tensor, "item dim"]:
        recommender = run.module.recommender
        batch = with_states(recommender, batch, towers)
        embeddings = []
        for change in models:
            change()
            embeddings.append(recommender.embed(batch).float())
        return torch.cat(embeddings, dim=1)

    with torch.inference_mode():
        embeddings = encode_items(embed, content, len(items), device=run.device).cpu().numpy()
    require_finite(embeddings, items.ids)
    return embeddings


def check_can_know_items(settings: Settings) -> None:
    """Raise SettingsError where a run cannot know new items, and say why."""
    if not settings.strategy.reads_content:
        raise SettingsError(
            f"{KEY}: strategy={settings.strategy_name} knows items by their ids alone and cannot know new ones; take a "
            "run of a strategy that reads content"
        )
    if settings.towers.feature_files():
        raise SettingsError(
            f"{KEY}: the run reads ready features, which new items do not have; take a run with pretrained towers"
        )


def _read_table(file: Path, needed: Sequence[str]) -> Columns:
    if file.suffix not in DIALECTS:
        raise DataError(f"{KEY}: {file} tells no format: name it {' or '.join(DIALECTS)}")
    if not file.is_file():
        raise DataError(f"{KEY}: {file}: no such file")
    table = DelimitedFile.open(file, DIALECTS[file.suffix])
    header = table.header()
    if missing := [name for name in needed if header.count(name) != 1]:
        raise DataError(
            f"{file}:1: expected one column {missing[0]!r}, found {', '.join(header)}; this run needs a header line "
            f"with {', '.join(needed)}"
        )
    return table.read([Wanted(KEY, name) for name in needed])


def _of_frame(frame: pd.DataFrame, needed: Sequence[str]) -> Columns:
    if missing := [name for name in needed if list(frame.columns).count(name) != 1]:
        found = ", ".join(map(str, frame.columns))
        raise DataError(
            f"{FRAME}: expected one column {missing[0]!r}, found {found}; this run needs {', '.join(needed)}"
        )
    if frame.empty:
        raise DataError(f"{FRAME}: the table has no rows")
    return Columns(file=FRAME, columns={name: _column(frame, name) for name in needed}, lines=range(len(frame)))


def _column(frame: pd.DataFrame, name: str) -> "pa.ChunkedArray":
    try:
        return pa.chunked_array([pa.array(frame[name].tolist(), from_pandas=True)])
    except pa.ArrowException as error:
        raise DataError(f"{FRAME}: column {name!r} mixes kinds of values; make all of it text") from error


def _ids(table: Columns, known: Sequence[str]) -> tuple[str, ...]:
    ids = table.ids(ITEM).rows()
    refuse_bad_ids("item", table.file, ids, table.lines)
    taken = set(known)
    for row, item_id in enumerate(ids):
        if item_id in taken:
            raise DataError(
                f"{table.place(row)}: item {item_id!r} is in the catalogue already; give it an id of its own"
            )
    return ids


def _texts(table: Columns, name: str, settings: Settings) -> tuple[str, ...]:
    texts = tuple(clean_text(text) for text in table.texts(name))
    if "" in texts and (name == TITLE or not settings.data.keeps_empty_texts):
        raise DataError(f"{table.place(texts.index(''))}: the {name} is empty")
    return texts


def _images(table: Columns, settings: Settings) -> FolderImages:
    folder, paths = table.file.parent, tuple(table.texts(IMAGE))
    for row, path in enumerate(paths):
        if not path or not (folder / path).is_file():
            raise DataError(f"{table.place(row)}: there is no image at {folder / path}")
    how = settings.data.decoding() if isinstance(settings.data, FileSource) else DEFAULT
    images = FolderImages(folder=folder, names=paths, decoding=how)
    for row, message in corrupt_images(images, range(len(paths))).items():
        raise DataError(f"{table.place(row)}: {message}")
    return images
