"""What Heater must beat: content without training, and popularity."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from pydantic.dataclasses import dataclass as part
from torch import Tensor

from peftrec.cold_start.evaluation import evaluate, selection_score
from peftrec.cold_start.method import Fitted, Method, Task
from peftrec.cold_start.pairs import ColdStartData, Side, interactions
from peftrec.config.strict import STRICT


@dataclass(frozen=True, kw_only=True)
class MatrixScorer:
    """Scores that were computed beforehand, with a row for each id of one side and all of the other in columns."""

    matrix: Float[Tensor, "row column"]
    row_ids: Int[Tensor, " row"]
    """In increasing order."""
    rows_are: Side

    def scores(self, users: Int[Tensor, " user"], items: Int[Tensor, " candidate"]) -> Float[Tensor, "user candidate"]:
        """Look the scores up."""
        rows, columns = (users, items) if self.rows_are == "users" else (items, users)
        found = self.matrix[torch.searchsorted(self.row_ids, rows)][:, columns]
        return found if self.rows_are == "users" else found.T


@part(frozen=True, kw_only=True, config=STRICT)
class ContentNeighbours(Method):
    """The nearest warm ones lend their pairs: the score of a cold item is the sum of its similarities to those of its
    neighbours that the user took; the score of an item for a cold user that to those of the neighbours who took it."""

    num_neighbours: tuple[int, ...] = Field(min_length=1)
    """Validation chooses among these."""

    def fit(self, task: Task) -> Fitted:
        data = task.data
        cold = np.unique(np.concatenate([pairs.side(data.cold_side) for pairs in (data.validation, data.test)]))
        similarity = similarity_to_warm(data, torch.from_numpy(cold))
        best: tuple[float, int, MatrixScorer] | None = None
        for number in self.num_neighbours:
            matrix = lent_pairs(data, similarity, number)
            scorer = MatrixScorer(matrix=matrix, row_ids=torch.from_numpy(cold), rows_are=data.cold_side)
            score = selection_score(evaluate(scorer, data.validation, data.candidates_of(data.validation)))
            if best is None or score > best[0]:
                best = (score, number, scorer)
        assert best is not None
        return Fitted(scorer=best[2], chosen={"num_neighbours": best[1]})


@part(frozen=True, kw_only=True, config=STRICT)
class Popularity(Method):
    """Training pairs of an item. It cannot tell new items apart: all have none, and ties count against them."""

    def fit(self, task: Task) -> Fitted:
        counts = np.bincount(task.data.train.items, minlength=task.data.num_items)
        scorer = MatrixScorer(
            matrix=torch.from_numpy(counts.astype(np.float32))[:, None].expand(-1, task.data.num_users),
            row_ids=torch.arange(task.data.num_items),
            rows_are="items",
        )
        return Fitted(scorer=scorer)


def similarity_to_warm(data: ColdStartData, cold: Int[Tensor, " cold"]) -> Float[Tensor, "cold entity"]:
    """Return cosines of content between cold ids and all of their side, zero where the other one is not warm."""
    content = data.content.to_dense() if data.content.is_sparse else data.content
    unit = torch.nn.functional.normalize(content, dim=1)
    warm = torch.from_numpy(np.unique(data.train.side(data.cold_side)))
    similarity = torch.zeros(len(cold), len(content))
    similarity[:, warm] = unit[cold] @ unit[warm].T
    return similarity.clamp_(min=0.0)


def lent_pairs(
    data: ColdStartData, similarity: Float[Tensor, "cold entity"], num_neighbours: int
) -> Float[Tensor, "cold other"]:
    """Return, for each cold id and each of the other side, the summed similarities of the neighbours that took it."""
    nearest = similarity.topk(min(num_neighbours, similarity.shape[1]), dim=1)
    kept = torch.zeros_like(similarity).scatter_(1, nearest.indices, nearest.values)
    taken = interactions(data.train, data.num_users, data.num_items)
    other_by_cold_side = taken.T if data.cold_side == "users" else taken
    return torch.mm(other_by_cold_side.coalesce(), kept.T).T
