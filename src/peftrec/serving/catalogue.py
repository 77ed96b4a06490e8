"""The catalogue of a finished run as a service sees it: ids, titles and embeddings, each item encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int

from peftrec.cold_start.content_neighbours import ContentNeighbours
from peftrec.data.items import Items
from peftrec.data.tables.likeness import look_alike
from peftrec.data.tables.tables import LARGEST_SEARCH
from peftrec.errors import CheckpointError, DataError
from peftrec.training.run.restored_run import RestoredRun


@dataclass(frozen=True, kw_only=True)
class ServedCatalogue:
    """Rows of the run's candidates in their order, then those of items that were added."""

    ids: tuple[str, ...]
    titles: tuple[str, ...] | None
    embeddings: Float[np.ndarray, "item dim"]
    num_candidates: int
    """How many of the rows the run knows; those behind them have no interactions."""
    neighbours: ContentNeighbours | None = None
    """Of the same rows, where content neighbours count beside the run's own scores."""
    weight: float = 0.0
    """How much they count."""

    @classmethod
    def of(cls, run: RestoredRun) -> "ServedCatalogue":
        """Encode the candidates of a run."""
        with torch.inference_mode():
            embeddings = run.module.encode_catalogue().float().cpu().numpy()
        require_finite(embeddings, run.split.items.ids)
        items = run.split.items
        return cls(ids=items.ids, titles=items.titles, embeddings=embeddings, num_candidates=len(items))

    @cached_property
    def keys(self) -> Float[np.ndarray, "item key"]:
        """What scores are dot products with: the embeddings, with content neighbours what content says beside them."""
        if self.neighbours is None:
            return self.embeddings
        return np.concatenate([self.embeddings, self.neighbours.vectors], axis=1)

    def queries(
        self, states: Float[np.ndarray, "user dim"], last: Int[np.ndarray, " user"]
    ) -> Float[np.ndarray, "user key"]:
        """Return what is multiplied with the keys, of users' states and the rows of their last items."""
        if self.neighbours is None:
            return states
        weight = np.float32(self.weight)
        return np.concatenate([states, weight * self.neighbours.queries(states, last)], axis=1)

    @cached_property
    def largest_norm(self) -> float:
        """Length of the longest key."""
        return float(np.linalg.norm(self.keys, axis=1).max())

    def title(self, row: int) -> str | None:
        """Return an item's title, None where the data has none."""
        return None if self.titles is None else self.titles[row]

    def with_neighbours(self, neighbours: ContentNeighbours, weight: float) -> "ServedCatalogue":
        """Return the catalogue with content neighbours that count beside the run's scores."""
        return replace(self, neighbours=neighbours, weight=weight)

    def with_items(
        self,
        items: Items,
        embeddings: Float[np.ndarray, "item dim"],
        content: Float[np.ndarray, "item feature"] | None = None,
    ) -> "ServedCatalogue":
        """Return the catalogue with items behind its own; `content` is the same of their content, where
        neighbours count."""
        titles = None if self.titles is None else self.titles + (items.titles or ("",) * len(items))
        neighbours = self.neighbours
        if neighbours is not None:
            assert content is not None
            neighbours = neighbours.with_items(content)
        return replace(
            self,
            ids=self.ids + items.ids,
            titles=titles,
            embeddings=np.concatenate([self.embeddings, embeddings]),
            neighbours=neighbours,
        )


def require_finite(embeddings: Float[np.ndarray, "item dim"], ids: Sequence[str]) -> None:
    """Raise CheckpointError where an item's embedding is no finite number; nothing can be ranked by it."""
    is_finite = np.isfinite(embeddings).all(axis=1)
    if not is_finite.all():
        first = ids[int(np.argmin(is_finite))]
        raise CheckpointError(
            f"{int((~is_finite).sum())} of {len(ids)} items have embeddings that are not finite, item {first!r} first: "
            "the towers' or the run's weights are damaged, or too large; check them, and train the run again"
        )


def rows_of(ids: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the rows of items. Raises DataError that names the nearest ids of one that is not there."""
    rows = {item_id: row for row, item_id in enumerate(known)}
    for item_id in ids:
        if item_id not in rows:
            raise DataError(f"items: there is no item {item_id!r} among the candidates{nearest(item_id, known)}")
    return [rows[item_id] for item_id in ids]


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of a message: the ids that resemble `name`, else one that is written otherwise, else the first."""
    near = _of_the_same_number(name, known)
    if not near and len(known) <= LARGEST_SEARCH:
        near = get_close_matches(name, known, n=3)
    if not near and (alike := look_alike([name], known)):
        return f"; {alike}"
    are = "is" if len(near) == 1 else "are"
    return f"; the nearest {are} {', '.join(near)}" if near else f"; ids look like {', '.join(known[:3])}"


def _of_the_same_number(name: str, known: Sequence[str]) -> list[str]:
    """Return ids that differ from `name` in letters and leading zeros alone: user00061 for 61, or for user61."""
    number = _number(name)
    return [each for each in known if _number(each) == number][:3] if number else []


def _number(name: str) -> str:
    return "".join(filter(str.isdecimal, name)).lstrip("0")
