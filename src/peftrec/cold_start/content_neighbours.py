"""Content neighbours of a user's last item, beside a run's own scores: a weighted hybrid (Burke, UMUAI 2002, 4.1).

    score(u, i) = own(u, i) + weight r(u) cos(l, i)          r(u) = spread of own(u, .) / spread of cos(l, .)

own(u, i) = s . v is the run's score, l the last item of u's history, cos the cosine of what frozen towers say of two
items, columns standardised; a spread is the standard deviation over the run's candidates. Both scores so count in
deviations of each user's, and a weight means the same for every user and every run. As s . v and cos are dot products,
their sum is one: of [s, weight r c_l] with [v, c].

Training tells warm items apart by who takes them; what content says of cold ones is left of the frozen states alone
(BENCHMARKS, "Cold targets of a run on content").
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from peftrec.cold_start.content import CLIP, ColumnScale

KEY = "content_neighbours"
NO_SPREAD = 1e-5
"""Below it cosines in float32 are all the same, and tell no items apart."""


@dataclass(frozen=True, kw_only=True)
class ContentNeighbours:
    """What the formula takes of the items: the run's candidates in their order, then others that were added."""

    vectors: Float[np.ndarray, "item feature"]
    """c: of length one, or zero of an item that is the mean of all."""
    spreads: Float[np.ndarray, " item"]
    """Of each item's cosines with the candidates."""
    own: Float[np.ndarray, "dim dim"]
    """Covariance of the candidates' embeddings v."""
    content: Float[np.ndarray, "feature feature"]
    """Covariance of the candidates' c."""
    scale: ColumnScale
    """Of the candidates' rows."""

    @classmethod
    def of(
        cls, rows: Float[np.ndarray, "item feature"], embeddings: Float[np.ndarray, "item dim"]
    ) -> "ContentNeighbours":
        """Take what towers say of the candidates, and how the run embeds them."""
        scale = ColumnScale.of(rows)
        vectors = _unit(scale.standardise(rows, clip=CLIP))
        content = _covariance(vectors)
        return cls(
            vectors=vectors,
            spreads=_spreads(vectors, content),
            own=_covariance(embeddings),
            content=content,
            scale=scale,
        )

    def vectors_of(self, rows: Float[np.ndarray, "item feature"]) -> Float[np.ndarray, "item feature"]:
        """Return c of other items, by what towers say of them."""
        return _unit(self.scale.standardise(rows, clip=CLIP))

    def with_items(self, vectors: Float[np.ndarray, "item feature"]) -> "ContentNeighbours":
        """Return them with items behind, by their c; no figure of the others changes."""
        return replace(
            self,
            vectors=np.concatenate([self.vectors, vectors]),
            spreads=np.concatenate([self.spreads, _spreads(vectors, self.content)]),
        )

    def queries(
        self, states: Float[np.ndarray, "user dim"], last: Int[np.ndarray, " user"]
    ) -> Float[np.ndarray, "user feature"]:
        """Return r c_l of each user, by their states s and the rows of their last items: with `vectors`, dot products
        are what the formula weighs. Zero where the content of the last item tells no items apart.

        A user's row is the same to the last bit whoever else is asked about.
        """
        # One by one: products of other shapes add in another order.
        own = np.array([_spread(state, self.own) for state in states], dtype=np.float32)
        spreads = self.spreads[last]
        ratios = np.divide(own, spreads, out=np.zeros_like(own), where=spreads > NO_SPREAD)
        return ratios[:, None] * self.vectors[last]


def _unit(rows: Float[np.ndarray, "item feature"]) -> Float[np.ndarray, "item feature"]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros(rows.shape, dtype=np.float32), where=lengths > 0, casting="same_kind")


def _covariance(rows: Float[np.ndarray, "item dim"]) -> Float[np.ndarray, "dim dim"]:
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / len(rows)


def _spread(vector: Float[np.ndarray, " dim"], covariance: Float[np.ndarray, "dim dim"]) -> float:
    """Return the deviation of a vector's dot products with the rows that have this covariance."""
    return float(np.sqrt(max(0.0, float(vector @ covariance @ vector))))


def _spreads(
    vectors: Float[np.ndarray, "item feature"], covariance: Float[np.ndarray, "feature feature"]
) -> Float[np.ndarray, " item"]:
    return np.sqrt(np.maximum(0.0, (vectors @ covariance * vectors).sum(axis=1)))
