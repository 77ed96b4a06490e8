"""Content of what may be cold: a row of features for each item, or for each user."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from torch import Tensor

from peftrec.config.strict import STRICT
from peftrec.data.damaged_arrays import DAMAGED_ARRAYS
from peftrec.errors import DataError, UserError

SVD_ITERATIONS = 5  # as in the published code
SVD_SEED = 0  # content is data: the same for every seed of a comparison
CLIP = 5.0
"""Standard deviations at which the published code cuts content and the factors of the side without content."""
NEGLIGIBLE = 1e-5


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Content(ABC):
    """What describes a cold item or user, whatever file it lies in."""

    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """Name the files below the split's root."""

    @abstractmethod
    def read(self, root: Path) -> Float[Tensor, "entity feature"]:
        """Return a row for each id, strided or sparse. Raises DataError."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TagsAndCitations(Content):
    """Articles by their tags and the articles that they cite: weighted, reduced by a randomised SVD, columns
    standardised.

    The published content has words of titles and abstracts in place of tags and citations. What follows, weights
    included, is the published code's (Zziwei/Heater--Cold-Start-Recommendation, main_CiteULike.py).
    """

    tags: str = "item-tag.dat"
    """Line i: the ids of the tags of item i."""
    citations: str = "citations.dat"
    """Line i: how many items item i cites, then their ids."""
    num_components: int = Field(default=300, ge=1)
    """Dimensions that the SVD keeps."""

    def files(self) -> tuple[str, ...]:
        return self.tags, self.citations

    def read(self, root: Path) -> Float[Tensor, "entity feature"]:
        randomized_svd = _import_svd()
        tags = read_id_lists(root / self.tags)
        citations = read_id_lists(root / self.citations, has_count=True)
        if len(tags) != len(citations):
            raise DataError(
                f"{root / self.citations}: has {len(citations)} lines and {self.tags} has {len(tags)}; line i of both "
                "must be the same item's"
            )
        bags = sparse.hstack([bag_of_ids(tags), bag_of_ids(citations)]).tocsr()
        weighted = weigh(bags)
        if self.num_components >= min(weighted.shape):
            raise DataError(
                f"{root / self.tags}: {weighted.shape[0]} items with {weighted.shape[1]} features; set "
                "pairs.content.num_components below both"
            )
        left, singular, _ = randomized_svd(
            weighted, n_components=self.num_components, n_iter=SVD_ITERATIONS, random_state=SVD_SEED
        )
        return torch.from_numpy(standardise(left * singular, clip=CLIP).astype(np.float32))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SparseMatrix(Content):
    """A matrix saved by scipy.sparse.save_npz, taken as it is, as the published code takes a friends' matrix."""

    file: str
    """File below `root`, as `scipy.sparse.save_npz` writes it: a row for each id."""

    def files(self) -> tuple[str, ...]:
        return (self.file,)

    def read(self, root: Path) -> Float[Tensor, "entity feature"]:
        path = root / self.file
        try:
            with path.open("rb") as stream:  # of a path that it cannot read numpy leaves the file open
                matrix = _coordinates(sparse.load_npz(stream))  # scipy refuses pickled arrays
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}); set pairs.root") from error
        except (AttributeError, *DAMAGED_ARRAYS) as error:
            raise DataError(
                f"{path}: not a matrix of scipy.sparse.save_npz, or not a whole one: take it anew from where it came"
            ) from error
        places = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
        with np.errstate(over="ignore"):  # looked for below
            values = torch.from_numpy(matrix.data.astype(np.float32))
        if not bool(torch.isfinite(values).all()):
            raise DataError(f"{path}: holds a value that is not a finite number of float32")
        return torch.sparse_coo_tensor(places, values, matrix.shape, check_invariants=True).coalesce()


def _coordinates(matrix: Any) -> Any:
    """Return a matrix as rows, columns and values. Raises ValueError where its parts do not fit each other: scipy looks
    at that when asked alone, and would read and write past their ends."""
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"values of {matrix.dtype}")
    return matrix.tocsr().tocoo()


def read_id_lists(path: Path, *, has_count: bool = False) -> list[list[int]]:
    """Read lines of ids separated by blanks, after their number where `has_count`. Raises DataError with the line."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); set pairs.root") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected lines of numbers: {error}") from error
    lists = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not all(map(str.isdecimal, words)):
            raise DataError(f"{path}:{number}: expected ids separated by blanks, got {line[:60]!r}")
        ids = [int(word) for word in words]
        if has_count and (not ids or ids.pop(0) != len(words) - 1):
            raise DataError(f"{path}:{number}: expected the number of ids and then the ids, got {line[:60]!r}")
        lists.append(ids)
    if not lists:
        raise DataError(f"{path}: the file is empty")
    return lists


def bag_of_ids(lists: Sequence[Sequence[int]]) -> Any:
    """Return a sparse matrix with a one where a row's list holds the column's id."""
    columns = np.fromiter(chain.from_iterable(lists), dtype=np.int64)
    offsets = np.cumsum([0, *map(len, lists)])
    matrix = sparse.csr_matrix(
        (np.ones(len(columns)), columns, offsets), shape=(len(lists), columns.max(initial=0) + 1)
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def weigh(bags: Any) -> Any:
    """Return ln(1 + count) ln(rows / (1 + rows with the feature)) for a sparse matrix of counts.

    Rows are not brought to one length, as they are not in the published code: an article with many features stays long.
    """
    counts = sparse.csr_matrix(bags, dtype=np.float64)
    holders = np.bincount(counts.indices, minlength=counts.shape[1])
    weighted = counts.log1p()
    return weighted @ sparse.diags(np.log(counts.shape[0] / (1 + holders)))


@plain_dataclass(frozen=True, kw_only=True)
class ColumnScale:
    """Mean and deviation of each column of some rows, by which later rows are standardised as these are."""

    means: Float[np.ndarray, " feature"]
    deviations: Float[np.ndarray, " feature"]

    @classmethod
    def of(cls, rows: Float[np.ndarray, "entity feature"]) -> "ColumnScale":
        """Take the rows that are not all zero, where there are any. A constant column, whose deviation stays 0, is
        divided by 1."""
        is_known = rows.any(axis=1)
        known = rows[is_known] if is_known.any() else rows
        deviations = known.std(axis=0)
        deviations[deviations == 0] = 1.0
        return cls(means=known.mean(axis=0), deviations=deviations)

    def standardise(
        self, rows: Float[np.ndarray, "entity feature"], *, clip: float
    ) -> Float[np.ndarray, "entity feature"]:
        """Bring rows to mean 0 and deviation 1 and cut them at `clip`; those that are all zero stay zero."""
        standardised = np.zeros_like(rows)
        known = rows.any(axis=1)
        standardised[known] = np.clip((rows[known] - self.means) / self.deviations, -clip, clip)
        standardised[np.abs(standardised) < NEGLIGIBLE] = 0.0
        return standardised


def standardise(rows: Float[np.ndarray, "entity feature"], *, clip: float) -> Float[np.ndarray, "entity feature"]:
    """Standardise the columns of rows by their own mean and deviation (see `ColumnScale`)."""
    return ColumnScale.of(rows).standardise(rows, clip=clip)


def _import_svd() -> Any:
    try:
        from sklearn.utils.extmath import randomized_svd
    except ImportError as error:
        raise UserError("tags and citations need scikit-learn: pip install 'peftrec[cold-start]'") from error
    return randomized_svd
