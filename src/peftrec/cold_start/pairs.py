"""Pair files of a cold-start split: who took what, one pair a line, without times.

Items are cold (they have no pair in training) and users warm, or the other way round. The side that may be cold has
content; the other one is known by its training pairs alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float
from pydantic.dataclasses import dataclass as part
from torch import Tensor

from peftrec.cold_start.content import Content
from peftrec.config.roles import Place
from peftrec.config.strict import STRICT, FolderName
from peftrec.data.readers.delimited import CSV, DelimitedFile
from peftrec.data.stand_ins import refuse_stand_in
from peftrec.data.tables.columns import Columns, Wanted
from peftrec.errors import DataError

Side = Literal["users", "items"]
COLUMNS = ("uid", "iid")
FIRST_LINE = 2  # below the header


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """User p took item p; ids are rows of the factors, and on the cold side of the content."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    lines: Sequence[int] = range(FIRST_LINE, 2**31)
    """Where each stands in its file; without empty lines, below the header."""

    def __len__(self) -> int:
        return len(self.users)

    def side(self, side: Side) -> npt.NDArray[np.int64]:
        """Return one side's ids."""
        return self.users if side == "users" else self.items


@dataclass(frozen=True, kw_only=True)
class ColdStartData:
    """One split, read and checked."""

    train: Pairs
    validation: Pairs
    test: Pairs
    num_users: int
    num_items: int
    cold_side: Side
    candidates: Literal["held_out", "warm"]
    content: Float[Tensor, "entity feature"]
    """A row for each id of the cold side, those without training pairs included; may be sparse."""

    def count(self, side: Side) -> int:
        """Return how many ids a side has."""
        return self.num_users if side == "users" else self.num_items

    def candidates_of(self, pairs: Pairs) -> npt.NDArray[np.int64]:
        """Return the items that are ranked for the users of `pairs`, in increasing order."""
        return np.unique(pairs.items if self.candidates == "held_out" else self.train.items)


@part(frozen=True, kw_only=True, config=STRICT)
class PairFiles:
    """Where a split lies, and what of it is cold."""

    name: Place[FolderName]
    """For tables and folders."""
    root: Place[str]
    """Folder that holds the files."""
    train: str = "train.csv"
    """File below `root` with the pairs to train on: a header `uid,iid`, then a pair a line."""
    validation: str = "vali.csv"
    """The same for choosing the epoch."""
    test: str = "test.csv"
    """The same for the test."""
    cold_side: Side
    """Which ids of validation and test have no training pair: `users` or `items`."""
    candidates: Literal["held_out", "warm"]
    """What is ranked: the items of the evaluated file (new items among new items), or all items that train."""
    content: Content
    """What describes the ids of the cold side."""
    note: Place[str] = ""
    """What stands under a table of this split."""

    def read(self) -> ColdStartData:
        """Read the files. Raises DataError that names file and line."""
        root = Path(self.root)
        for name in self.content.files():  # files of pairs say it themselves
            refuse_stand_in(root / name)
        train, validation, test = (read_pairs(root / name) for name in (self.train, self.validation, self.test))
        parts = {root / self.train: train, root / self.validation: validation, root / self.test: test}
        for path in (root / self.validation, root / self.test):
            _refuse_warm_ids(path, parts[path], train.side(self.cold_side), self)
        content = self.content.read(root)
        for path, pairs in parts.items():
            _refuse_ids_without_content(path, pairs, len(content), self)
        sizes = {side: 1 + max(int(pairs.side(side).max()) for pairs in parts.values()) for side in ("users", "items")}
        sizes[self.cold_side] = len(content)
        return ColdStartData(
            train=train,
            validation=validation,
            test=test,
            num_users=sizes["users"],
            num_items=sizes["items"],
            cold_side=self.cold_side,
            candidates=self.candidates,
            content=content,
        )

    def content_hash(self) -> str:
        """Hash the bytes of all files; raises DataError where one is missing."""
        digest = hashlib.sha256()
        for name in (self.train, self.validation, self.test, *self.content.files()):
            try:
                digest.update((Path(self.root) / name).read_bytes())
            except OSError as error:
                raise DataError(
                    f"{Path(self.root) / name}: cannot be read ({error.strerror}); set pairs.root"
                ) from error
        return digest.hexdigest()


def read_pairs(path: Path) -> Pairs:
    """Read `uid,iid` lines; ids are whole numbers, also where they are written as 12.0.

    Raises DataError that names the line.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); set pairs.root") from error
    table = DelimitedFile.open(path, CSV)
    if missing := [name for name in COLUMNS if name not in table.header()]:
        raise DataError(f"{path}:1: no column {missing[0]}; the header must be {','.join(COLUMNS)}")
    pairs = table.read([Wanted("pairs.root", name) for name in COLUMNS])
    users, items = (_ids(pairs, name) for name in COLUMNS)
    return Pairs(users=users, items=items, lines=pairs.lines)


def _ids(pairs: Columns, name: str) -> npt.NDArray[np.int64]:
    texts = pd.Series(pairs.texts(name))
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    is_id = (numbers >= 0) & (numbers < 2**31) & (numbers == np.floor(numbers))
    if not is_id.all():
        row = int(np.flatnonzero(~is_id)[0])
        raise DataError(f"{pairs.place(row)}: {name} is {texts.iloc[row]!r}; expected a whole number from 0 on")
    return numbers.astype(np.int64)


def _refuse_ids_without_content(path: Path, pairs: Pairs, num_rows: int, files: PairFiles) -> None:
    ids = pairs.side(files.cold_side)
    outside = np.flatnonzero(ids >= num_rows)
    if len(outside):
        row = int(outside[0])
        raise DataError(
            f"{path}:{pairs.lines[row]}: no content for {files.cold_side[:-1]} {ids[row]}; "
            f"{' and '.join(files.content.files())} have {num_rows} rows, numbered from 0"
        )


def _refuse_warm_ids(path: Path, pairs: Pairs, trained: npt.NDArray[np.int64], files: PairFiles) -> None:
    held_out = pairs.side(files.cold_side)
    warm = np.flatnonzero(np.isin(held_out, trained))
    if len(warm):
        row = int(warm[0])
        raise DataError(
            f"{path}:{pairs.lines[row]}: {files.cold_side[:-1]} {held_out[row]} also has pairs in {files.train}, so it "
            "is not cold; remove it there, or set pairs.cold_side to the other side"
        )


def interactions(pairs: Pairs, num_users: int, num_items: int) -> Tensor:
    """Return pairs as a sparse user-by-item matrix of ones; a pair that stands twice counts once."""
    distinct = np.unique(pairs.users * num_items + pairs.items)
    places = torch.from_numpy(np.stack([distinct // num_items, distinct % num_items]))
    return torch.sparse_coo_tensor(
        places, torch.ones(len(distinct)), (num_users, num_items), check_invariants=True, is_coalesced=True
    )
